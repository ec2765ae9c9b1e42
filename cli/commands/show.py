"""show: a model's graph at any stage, an integer program, or the bytes of a file."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from .. import stages
from ..render import Screen

if TYPE_CHECKING:
    from ...backends.fixed.program import Program
    from ...compiler.graph import Graph

FORMS = ("table", "text", "json", "dot")
RECIPE = "choi2020"
"""By which coverage is judged where none is named."""
JSON_VERSION = 1
"""Of the JSON that is written; a key that changes its meaning or goes away makes it a new one."""


class Depth(click.ParamType[int]):
    """A number of levels, or all of them."""

    name = "levels"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if value == "all":
            return sys.maxsize
        if not re.fullmatch("0*[1-9][0-9]{0,8}", str(value)):
            self.fail(f"'{value}' is not a number of levels; write 1, 2, ... or all", param, ctx)
        return int(value)


@dataclass(frozen=True)
class Wanted:
    """How much is to be drawn, and in which form.   depth: None for about a screen.   nodes: the flat list."""

    form: str
    depth: int | None
    expand: tuple[str, ...]
    nodes: bool


@dataclass(frozen=True)
class Named:
    """The model as the command line names it."""

    target: str
    recipe: str | None
    inputs: Sequence[stages.Input]
    data: str | None
    weights: str | None


@click.command()
@click.argument("target", metavar="SOURCE|FILE")
@stages.options
@click.option("--stage", type=click.Choice(stages.STAGES), help="By default prepared with a recipe, captured without.")
@click.option("--depth", type=Depth(), metavar="N|all", help="Levels of modules to show. Default: about a screen.")
@click.option("--expand", multiple=True, metavar="PATTERN", help="Modules to show call by call: 'layer1.*'.")
@click.option("--nodes", is_flag=True, help="Every call, in order, without modules.")
@click.option("--coverage", is_flag=True, help="What would become integers, and why the rest would not.")
@click.option("--format", "form", type=click.Choice(FORMS), default="table", show_default=True)
@click.option("--bytes", "sizes", is_flag=True, help="What every byte of FILE is for.")
@click.pass_obj
def show(
    screen: Screen, target: str, recipe: str | None, inputs: Sequence[stages.Input], data: str | None,
    weights: str | None, stage: str | None, depth: int | None, expand: tuple[str, ...], nodes: bool, coverage: bool,
    form: str, sizes: bool,
) -> None:  # fmt: skip
    """Show SOURCE by its modules at a stage, or the integer program in FILE.

    The stages are captured (the model's own graph), prepared (what is trained under the recipe) and lowered (the
    integer program); nothing is trained here. Naming a Python file runs it.

    A row is a module: its class, its calls, the last value that it gives, its parameters (a tied one counts where it
    stands first) and its multiply-accumulates for one sample. Equal neighbours share a row, which gives their sums.

    \b
    Examples:
      lowbit show lowbit.cli.demo:digits_net --input 1,8,8
      lowbit show net.py:make --input 3,224,224 --expand 'layer1.*'
      lowbit show net.py:bert --input 128:int64 --format dot
      lowbit show net.py:make --input 3,32,32 --recipe choi2020 --stage lowered --format json
      lowbit show net.py:make --input 3,32,32 --coverage
      lowbit show digits.lowbit
      lowbit show digits.lowbit --bytes
    """
    wanted, named = Wanted(form, depth, expand, nodes), Named(target, recipe, inputs, data, weights)
    if not _is_source(target):
        if any((recipe, inputs, data, weights, coverage, stage not in (None, stages.LOWERED))):
            given = "--recipe, --input, --data, --weights, --coverage and --stage"
            raise click.UsageError(f"{given} are for a SOURCE; a file holds a lowered program")
        _file(screen, wanted, target, sizes)
    elif sizes:
        raise click.UsageError("--bytes is for a .lowbit file")
    elif coverage:
        if stage is not None or form not in ("table", "json"):
            raise click.UsageError("--coverage is of the captured graph, as a table or json")
        _cover(screen, named, wanted)
    else:
        _make(screen, named, stage or (stages.PREPARED if recipe else stages.CAPTURED), wanted)


def _is_source(target: str) -> bool:
    return (":" in target and not target.endswith(".lowbit")) or target.endswith((".py", ".pt2"))


def _make(screen: Screen, named: Named, stage: str, wanted: Wanted) -> None:
    with screen.work() as work:
        work(f"making the graph, {stage}")
        example = stages.example(named.inputs, named.data)
        shown = stages.graph(named.target, stage, named.recipe, example, named.weights)
    _draw(screen, shown, stage, wanted)


def _draw(screen: Screen, shown: Graph | Program, stage: str, wanted: Wanted) -> None:
    from .. import outlines, views
    from ..dot import dot
    from ..folding import folded

    drawn = outlines.drawn(shown)
    rows = folded(drawn.outline, wanted.depth, wanted.expand)
    match wanted.form:
        case "text":
            screen.text(drawn.text())
        case "json":
            tree = outlines.described(drawn.outline)
            screen.json({"version": JSON_VERSION, "stage": stage, "modules": tree, **drawn.facts()})
        case "dot":
            screen.text(dot(rows))
        case _ if wanted.nodes or not drawn.has_modules:
            screen.table(*drawn.flat())
        case _:
            screen.table(*views.outline(rows, drawn.held))
            for note in views.notes(drawn.outline):
                screen.text(note)


def _cover(screen: Screen, named: Named, wanted: Wanted) -> None:
    from .. import coverage

    with screen.work() as work:
        work("capturing")
        example = stages.example(named.inputs, named.data)
        captured = stages.captured(named.target, example, named.weights, named.recipe)
        work("trying what each call would become")
        found, doubt = stages.covered(captured, named.recipe or RECIPE, example)
    lines = coverage.lines(found, captured.classes)
    if wanted.form == "json":
        facts = {"coverage": coverage.counts(lines), "doubt": doubt, "nodes": coverage.described(lines)}
        screen.json({"version": JSON_VERSION, **facts})
        return
    sections = coverage.sections(lines, wanted.expand, wanted.nodes)
    screen.text(coverage.summary(lines))
    if doubt:
        screen.text(f"each call is judged by its kind alone, since the recipe cannot be used: {doubt}")
    for title, rows in sections:
        screen.table(("",) * 4, rows, title=title)
    for fix in coverage.fixes(lines):
        screen.text(f"fix  {fix}")


def _file(screen: Screen, wanted: Wanted, path: str, sizes: bool) -> None:
    from ... import load

    if sizes:
        _account(screen, path, wanted.form)
    else:
        _draw(screen, load(path).program, stages.LOWERED, wanted)


def _account(screen: Screen, path: str, form: str) -> None:
    from ...backends import blob
    from .. import views

    if form not in ("table", "json"):
        raise click.UsageError(f"--bytes has no format {form}; it is a table or json")
    try:
        entries = blob.account(blob.read(path))
    except blob.FileError as error:
        raise error.placed(path=path) from None
    if form == "json":
        screen.json({"version": JSON_VERSION, "parts": [vars(entry) for entry in entries]})
    else:
        screen.table(*views.file(entries))
