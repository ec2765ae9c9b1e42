"""show: a model's graph at any stage, an integer program, or the bytes of a file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from ...compiler.errors import UserError
from .. import source, views
from ..render import Screen

if TYPE_CHECKING:
    from torch import Tensor, nn

    from ...backends.fixed.program import Program
    from ...compiler.graph import Graph

STAGES = ("captured", "prepared", "lowered")
STEPS = 1000
"""Length of the training that schedules are told of."""
JSON_VERSION = 1
"""Of the JSON that is written; a key that changes its meaning or goes away makes it a new one."""


class Shape(click.ParamType[tuple[int, ...]]):
    """Sizes with commas between, such as 1,8,8."""

    name = "sizes"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        sizes = str(value).split(",")
        if not all(size.strip().isdigit() and int(size) for size in sizes):
            self.fail(f"'{value}' is not a shape; write the sizes without the batch, such as 1,8,8", param, ctx)
        return tuple(map(int, sizes))


@click.command()
@click.argument("target", metavar="SOURCE|FILE")
@click.option("--recipe", metavar="RECIPE", help="A shipped recipe, or a TOML file: for what is behind `captured`.")
@click.option("--input", "shapes", type=Shape(), multiple=True, help="Shape of an input without the batch: 1,8,8.")
@click.option("--data", metavar="DATA", help="Example inputs from a data set instead: see `lowbit compile`.")
@click.option("--stage", type=click.Choice(STAGES), help="By default prepared with a recipe, captured without.")
@click.option("--format", "form", type=click.Choice(("table", "text", "json")), default="table", show_default=True)
@click.option("--bytes", "sizes", is_flag=True, help="What every byte of FILE is for.")
@click.pass_obj
def show(
    screen: Screen, target: str, recipe: str | None, shapes: Sequence[tuple[int, ...]], data: str | None,
    stage: str | None, form: str, sizes: bool,
) -> None:  # fmt: skip
    """Show the graph of SOURCE at a stage, or the integer program in FILE.

    The stages are captured (the model's own graph), prepared (what is trained under the recipe) and lowered (the
    integer program); nothing is trained here. Naming a Python file runs it.

    \b
    Examples:
      lowbit show digits.lowbit
      lowbit show digits.lowbit --bytes
      lowbit show lowbit.cli.demo:digits_net --input 1,8,8
      lowbit show net.py:make --input 3,32,32 --recipe choi2020 --stage lowered --format json
    """
    if (":" in target and not target.endswith(".lowbit")) or target.endswith(".py"):
        if sizes:
            raise click.UsageError("--bytes is for a .lowbit file")
        stage = stage or ("prepared" if recipe else "captured")
        _draw(screen, _stage(source.model(target), recipe, stage, _example(shapes, data)), stage, form)
    elif recipe or shapes or data or stage not in (None, "lowered"):
        raise click.UsageError("--recipe, --input, --data and --stage are for a SOURCE; a file holds a lowered program")
    elif sizes:
        _account(screen, target, form)
    else:
        from ... import load

        _draw(screen, load(target).program, "lowered", form)


def _example(shapes: Sequence[tuple[int, ...]], data: str | None) -> tuple[Tensor, ...]:
    import torch

    from ...compiler.training import example

    if data is not None:
        return (example(source.data(data).train, 2, "training")[0],)
    if not shapes:
        raise UserError("the model needs example inputs", fix="give --input 1,8,8 for each input, or --data")
    return tuple(torch.rand(2, *shape) for shape in shapes)


def _stage(model: nn.Module, recipe: str | None, stage: str, example: Sequence[Tensor]) -> Graph | Program:
    from ... import lower, prepare
    from ...compiler.capture import capture

    if stage == "captured":
        return capture(model, example)
    if recipe is None:
        raise UserError(f"the stage '{stage}' needs a recipe", fix="give --recipe; `lowbit recipes` lists them")
    prepared = prepare(model, example, recipe, steps=STEPS)
    return prepared.graph if stage == "prepared" else lower(prepared).program


def _draw(screen: Screen, shown: Graph | Program, stage: str, form: str) -> None:
    from ...backends.fixed import text as programs
    from ...compiler import text as graphs
    from ...compiler.graph import Graph

    if isinstance(shown, Graph):
        view, text, facts = views.graph(shown), graphs.text(shown, origins=True), graphs.described(shown)
    else:
        view, text, facts = views.program(shown), programs.text(shown, origins=True), programs.described(shown)
    match form:
        case "table":
            screen.table(*view)
        case "text":
            screen.text(text)
        case _:
            screen.json({"version": JSON_VERSION, "stage": stage, **facts})


def _account(screen: Screen, path: str, form: str) -> None:
    from ...backends import blob

    try:
        entries = blob.account(blob.read(path))
    except blob.FileError as error:
        raise error.placed(path=path) from None
    if form == "json":
        screen.json({"version": JSON_VERSION, "parts": [vars(entry) for entry in entries]})
    else:
        screen.table(*views.file(entries))
