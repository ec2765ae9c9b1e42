"""Trials as evidence and laws run them: lines that end in the pass under test, each part of a line computed once."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from functools import cache

from ..api import passes
from ..compiler.contract import Pass
from ..compiler.graph import Graph
from ..compiler.pipeline import Result
from ..compiler.plugins import chosen
from ..compiler.sketches.sketch import build
from ..compiler.sketches.trial import advance
from .nets import drawn


def found(name: str) -> Pass:
    """The pass of that name, or behind that `module:attribute`."""
    return chosen(name, passes(), "the name of a pass under test")


def split(line: str) -> tuple[str, str, str]:
    """(the line before its last stage, that stage, the name of its pass)."""
    before, _, stage = line.rpartition("|")
    return before, stage, stage.split("(")[0].strip()


@cache
def result(line: str) -> Result:
    """What a trial comes to; passes are pure, so every part of a line is computed once."""
    before, bar, stage = line.rpartition("|")
    return advance(result(before).graph, stage, passes()) if bar else Result(build(line.strip()), ())


def graph(line: str) -> Graph:
    """The graph of a trial."""
    return result(line).graph


def fires(name: str) -> list[str]:
    """The trials on which a pass says that it fires."""
    return [spelled_out(line, name) for line in found(name).fires]


def refuses(name: str) -> dict[str, str]:
    """The trials on which a pass says that it refuses, and why."""
    return {spelled_out(line, name): reason for line, reason in found(name).refuses.items()}


def spelled_out(line: str, name: str) -> str:
    """The evidence of `module:attribute` may call its pass by the attribute alone."""
    _, colon, attribute = name.partition(":")
    return re.sub(rf"(\|\s*){attribute}\b(?!:)", rf"\g<1>{name}", line) if colon else line


def trials(name: str, networks: int | None = None) -> Iterator[str]:
    """The trials that show the pass firing; then every drawn network, behind their stages and with their options."""
    yield from fires(name)
    shown = [line.partition("|")[2] for line in fires(name)]
    for sketch, stages in zip(drawn(networks), itertools.cycle(shown)):
        yield f"{sketch} |{stages}"
