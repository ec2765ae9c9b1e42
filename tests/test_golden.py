"""The graphs before and after each pass are the text in `golden/passes`: what a pass does, to be read and reviewed.

`make golden` writes the files anew; the difference is for the reviewer. Weights are told by their names alone, since
other processors round otherwise.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from lowbit.compiler.contract import Pass
from lowbit.compiler.registry import members
from lowbit.compiler.text import text
from lowbit.testing import graph, split

FOLDER = Path(__file__).parent / "golden" / "passes"
SHIPPED = members("lowbit.passes", Pass)


def shown(name: str) -> str:
    """The first trial of a pass, with the graph before its last stage and the one behind it."""
    line = SHIPPED[name].fires[0]
    return f"{line}\n\n{told(split(line)[0])}\n\n=>\n\n{told(line)}\n"


def told(line: str) -> str:
    return re.sub(r"\b(parameter|buffer) [0-9a-f]{8}$", r"\1", text(graph(line)), flags=re.MULTILINE)


@pytest.mark.parametrize("name", SHIPPED)
def test_a_pass_does_what_is_written(name: str, request: pytest.FixtureRequest) -> None:
    path = FOLDER / f"{name}.txt"
    if request.config.getoption("--update-golden"):
        path.write_text(shown(name), encoding="utf-8")
    assert shown(name) == path.read_text(encoding="utf-8"), "if this is meant, run `make golden`"


def test_every_file_is_of_a_pass() -> None:
    assert sorted(path.name for path in FOLDER.iterdir()) == [f"{name}.txt" for name in SHIPPED]
