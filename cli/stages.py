"""A SOURCE at a stage, the graph or program that `show`, `diff` and `explain` look at; and the options that make it."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import click

from ..compiler.errors import UserError
from . import source

if TYPE_CHECKING:
    from torch import Tensor, nn

    from ..backends.fixed.program import Program
    from ..backends.lowering.coverage import Covered
    from ..compiler.graph import Graph
    from ..compiler.pipeline import Result

CAPTURED, PREPARED, LOWERED = STAGES = ("captured", "prepared", "lowered")
STEPS = 1000
"""Length of the training that schedules are told of."""
BATCH = 2
"""Samples in an example: the batch becomes symbolic, and torch.export would fix one of 1."""
TYPES = ("float32", "float64", "float16", "bfloat16", "int64", "int32", "bool")
"""Of the elements of an example input."""
Input: TypeAlias = tuple[tuple[int, ...], str]
"""The shape of an input without the batch, and the type of its elements."""


class Shape(click.ParamType[Input]):
    """Sizes with commas between, such as 1,8,8, and a type behind a colon if it is not float32."""

    name = "sizes"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Input:
        sizes, _, kind = str(value).partition(":")
        numbers = sizes.split(",") if sizes else []
        if not all(size.strip().isdigit() and int(size) for size in numbers) or (not sizes and not kind):
            self.fail(f"'{value}' is not a shape; write the sizes without the batch, such as 1,8,8", param, ctx)
        if kind and kind not in TYPES:
            self.fail(f"'{kind}' is no type of an input; it is one of {', '.join(TYPES)}", param, ctx)
        return tuple(map(int, numbers)), kind or TYPES[0]


def options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options --input, --data, --recipe and --weights, as the arguments inputs, data, recipe and weights."""
    given = (
        click.option("--recipe", metavar="RECIPE", help="A shipped recipe, or a TOML file."),
        click.option(
            "--input", "inputs", type=Shape(), multiple=True, metavar="SIZES[:TYPE]",
            help="An input without the batch: 1,8,8 or 16:int64. Once for each.",
        ),
        click.option("--data", metavar="DATA", help="Example inputs from a data set instead: see `lowbit compile`."),
        click.option("--weights", metavar="FILE", help="Weights of SOURCE, .safetensors or .pt; no code in it runs."),
    )  # fmt: skip
    return functools.reduce(lambda made, option: option(made), reversed(given), command)


def example(inputs: Sequence[Input], data: str | None) -> tuple[Tensor, ...]:
    """Example inputs: a batch of the data set, or drawn from a fixed seed, whole numbers among 0 and 1."""
    import torch

    from ..compiler.training import example as first

    if data is not None:
        return (first(source.data(data).train, BATCH, "training")[0],)
    if not inputs:
        raise UserError("the model needs example inputs", fix="give --input 1,8,8 for each input, or --data")
    drawn = torch.Generator().manual_seed(0)
    kinds = [(shape, getattr(torch, kind)) for shape, kind in inputs]
    return tuple(
        torch.rand(BATCH, *shape, generator=drawn).to(kind)
        if kind.is_floating_point
        else torch.randint(0, 2, (BATCH, *shape), generator=drawn).to(kind)
        for shape, kind in kinds
    )


def graph(
    reference: str, stage: str, recipe: str | None, example: Sequence[Tensor], weights: str | None = None
) -> Graph | Program:
    """The module that a SOURCE names at a stage. Raises UserError, and for the stage lowered Unsupported.

    stage: captured; prepared, which is what is trained under the recipe; or lowered, the integer program.
    """
    if stage == CAPTURED:
        return captured(reference, example, weights, recipe)
    if recipe is None:
        raise UserError(f"the stage '{stage}' needs a recipe", fix="give --recipe; `lowbit recipes` lists them")
    if stage == PREPARED:
        return prepared(captured(reference, example, weights, recipe), recipe, example).graph
    from .. import lower, prepare

    return lower(prepare(_model(reference, weights), example, recipe, steps=STEPS)).program


def captured(reference: str, example: Sequence[Tensor], weights: str | None = None, recipe: str | None = None) -> Graph:
    """The module's own graph, with the leaves that a recipe names. Raises UserError."""
    from ..api import read_recipe
    from ..compiler.capture import capture

    leaves = read_recipe(recipe).leaves if recipe else ()
    return capture(_model(reference, weights), example, leaves=leaves)


def prepared(captured: Graph, recipe: str, example: Sequence[Tensor]) -> Result:
    """The graph after the recipe's passes before training, calibrated, and their ledger. Raises UserError.

    Unlike `lowbit.prepare` it does not ask whether the graph can be lowered.
    """
    from .. import api
    from ..compiler.calibrate import calibrate
    from ..compiler.pipeline import run

    chosen = api.read_recipe(recipe)
    result = run(chosen.first(captured), chosen.prepare, STEPS, stage=chosen.stage)
    calibrate(result.graph, [list(example)])
    return result


def covered(captured: Graph, recipe: str, example: Sequence[Tensor]) -> tuple[list[Covered], str]:
    """The fate of each call under a recipe, and why it is judged by its kind alone where the recipe cannot be used.

    Unlike `lowbit.prepare` it refuses nothing but a recipe that cannot be read.
    """
    from .. import api
    from ..backends.lowering.coverage import coverage
    from ..backends.lowering.heirs import marked
    from ..compiler.modes import evaluated
    from ..compiler.pipeline import run

    start, lower = marked(captured), api.read_recipe(recipe).lower
    try:
        deployed, doubt = run(evaluated(prepared(start, recipe, example).graph), lower).graph, ""
    except UserError as error:
        deployed, doubt = evaluated(start), str(error)
        for use in lower:  # folding needs no grids
            with contextlib.suppress(UserError):
                deployed = run(deployed, [use]).graph
    return coverage(evaluated(start), deployed, on_grids=not doubt), doubt


def _model(reference: str, weights: str | None) -> nn.Module:
    return source.model(reference, weights=weights)
