"""diff: what two models, two stages of one, or two files have not in common."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from .. import stages
from ..render import Screen

if TYPE_CHECKING:
    from torch import Tensor

    from ...backends.fixed.program import Program
    from ...compiler.graph import Graph
    from ..compared import Module

JSON_VERSION = 1
"""Of the JSON that is written; a key that changes its meaning or goes away makes it a new one."""
EQUAL, DIFFERENT, TROUBLE = 0, 1, 2
"""Exit codes, as those of diff(1)."""
FILE = ".lowbit"


@click.command()
@click.argument("old", metavar="A")
@click.argument("new", metavar="B")
@stages.options
@click.option("--all", "everything", is_flag=True, help="Show modules that changed alike one by one.")
@click.option("--format", "form", type=click.Choice(("text", "json")), default="text", show_default=True)
@click.pass_obj
def diff(
    screen: Screen, old: str, new: str, recipe: str | None, inputs: Sequence[stages.Input], data: str | None,
    weights: str | None, everything: bool, form: str,
) -> int:  # fmt: skip
    """Show what was added (+), removed (-) and changed (~) from A to B, by module.

    A and B are .lowbit files, or SOURCEs, with @captured, @prepared or @lowered behind for a stage as in `lowbit show`:
    by default prepared with a recipe, captured without. Calls are compared by what they are and what they read,
    whatever their numbers; tensors by their contents. The options are for both. Naming a Python file runs it.

    Exit codes: 0 equal, 1 different, 2 wrong usage, or one of them cannot be had.

    \b
    Examples:
      lowbit diff net.py:make@captured net.py:make@prepared --recipe choi2020 --input 3,32,32
      lowbit diff net.py:make 'net.py:make?width=32' --input 3,32,32
      lowbit diff old.lowbit new.lowbit
      lowbit diff digits.lowbit lowbit.cli.demo:digits_net@lowered --recipe choi2020 --input 1,8,8 --format json
    """
    sides = [_side(reference, recipe) for reference in (old, new)]
    files = [reference.endswith(FILE) for reference, _ in sides]
    if all(files) and (recipe or inputs or data or weights):
        raise click.UsageError("--recipe, --input, --data and --weights are for a SOURCE; files hold lowered programs")
    try:
        with screen.work() as work:
            work("making the graphs")
            example = () if all(files) else stages.example(inputs, data)
            shown = [_made(reference, stage, recipe, example, weights) for reference, stage in sides]
            work("comparing")
            found = _compared(*shown)
    except Exception as error:  # an exit code of 1 says that they were compared, and differ
        screen.failure(error)
        return TROUBLE
    return _draw(screen, found, everything, form)


def _side(reference: str, recipe: str | None) -> tuple[str, str]:
    """The file or SOURCE that an argument names, and its stage."""
    name, at, stage = reference.rpartition("@")
    if at and stage in stages.STAGES:
        if name.endswith(FILE) and stage != stages.LOWERED:
            raise click.UsageError(f"'{name}' holds a lowered program; it has no stage '{stage}'")
        return name, stage
    near = difflib.get_close_matches(stage, stages.STAGES, 1) if at else []
    if near:
        raise click.UsageError(f"there is no stage '{stage}'; did you mean @{near[0]}?")
    return reference, stages.PREPARED if recipe else stages.CAPTURED


def _made(
    reference: str, stage: str, recipe: str | None, example: Sequence[Tensor], weights: str | None
) -> Graph | Program:
    if not reference.endswith(FILE):
        return stages.graph(reference, stage, recipe, example, weights)
    from ... import load

    return load(reference).program


def _compared(old: Graph | Program, new: Graph | Program) -> list[Module]:
    from ...compiler.inspection.difference import difference
    from .. import compared

    return compared.modules(difference(compared.entered(old), compared.entered(new)))


def _draw(screen: Screen, found: list[Module], everything: bool, form: str) -> int:
    from .. import compared

    facts = compared.described(found)
    if form == "json":
        screen.json({"version": JSON_VERSION, "equal": not facts["modules"], **facts})
    else:
        screen.text("\n".join(compared.lines(found, everything)))
    return DIFFERENT if facts["modules"] else EQUAL
