"""Pull the scales of grids to powers of two.

    R = (1/n) sum_d (d - p)^2,                  dR/dd = (2/n) (d - p)                         "absolute"
    R = (1/n) sum_d (log2 d - log2 p)^2,        dR/dd = (2/n) (log2 d - log2 p) / (d ln 2)    "log"

p = 2^round(log2 d) is the nearest power, and n counts the scales of weights and activations that are trained. This is
the second regularizer of Choi, El-Khamy, Lee (US patent 11,270,187, claim 4), which gives no equation; "absolute" is a
likely one. "log" is alike for scales of every size, where the other is felt by the largest alone. Weighted by a
coefficient, see `compiler/coefficient.py`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, fx

from ..compiler.attachment import Attached, grids, on, planned, trained_scales, unless_attached, where_planned
from ..compiler.coefficient import penalize
from ..compiler.contract import Exact, OptionsFor, Pass
from ..compiler.direct import gradient
from ..compiler.edit import Edit
from ..compiler.facts import weights_on_grid
from ..compiler.graph import Graph
from ..compiler.pattern import Whole
from ..compiler.rule import Match, rule

_own = torch.ops.lowbit

NAME = "power_of_two"


class Settings(Attached, frozen=True):
    """weights, activations: whose scales.   distance: from the nearest power of two, or of the logarithms."""

    weights: bool = True
    activations: bool = True
    distance: Literal["absolute", "log"] = "absolute"


@torch.library.custom_op("lowbit::power_of_two", mutates_args=())
def power_of_two(scales: Sequence[Tensor], distance: str) -> Tensor:
    """The mean square distance of all scales, (1,) or (channels,) each, from their powers of two, a scalar."""
    flat = torch.cat([scale.reshape(-1) for scale in scales])
    return _away(flat, distance).square().mean()


@power_of_two.register_fake
def _(scales: Sequence[Tensor], distance: str) -> Tensor:
    return scales[0].new_empty(())


def _away(scale: Tensor, distance: str) -> Tensor:
    exponent = scale.log2()
    nearest = (exponent + 0.5).floor()
    return exponent - nearest if distance == "log" else scale - nearest.exp2()


def _setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    scales, ctx.distance = inputs
    ctx.save_for_backward(*scales)


def _backward(ctx: Any, grad: Tensor) -> tuple[list[Tensor], None]:
    scales = ctx.saved_tensors
    pull = 2 * grad / sum(scale.numel() for scale in scales)
    steepness = [scale * math.log(2) if ctx.distance == "log" else 1 for scale in scales]
    return [_away(d, ctx.distance) * pull / s for d, s in zip(scales, steepness, strict=True)], None


gradient(power_of_two, _backward, _setup)


def plan(graph: Graph, options: OptionsFor) -> list[str]:
    """Names of grids, one for each scale that is trained and chosen."""
    found = {
        grid: weight
        for grid, weight in grids(graph, lambda path: options(path).attached).items()
        if (options("").activations if weight is None else options("").weights)
    }
    return [grid.name for grid in trained_scales(found).values()]


@rule(Whole(), where_planned("no scale is trained"), unless_attached(NAME))
def attach(match: Match, edit: Edit) -> fx.Node:
    scales = [on(node)["scale"] for node in planned(match)]
    penalize(match, edit, NAME, edit.call(_own.power_of_two.default, scales, match.options.distance))
    return match.root


PASS = Pass(
    rules=(attach,),
    law=Exact(),
    options=Settings,
    plan=plan,
    needs=(weights_on_grid,),
    fires=(
        "conv(3) bn relu linear(4) | insert_fake_quant | attach_power_of_two",
        "conv(3) relu | insert_fake_quant(per_channel=true) | attach_power_of_two(distance='log', activations=false)",
        "conv(3) relu linear(2) | insert_fake_quant | attach_power_of_two(weights=false, coefficient='fixed')",
    ),
    refuses={
        "conv(3) | insert_fake_quant | attach_power_of_two(attached=false)": "no scale is trained",
        "conv(3) | insert_fake_quant | attach_power_of_two | attach_power_of_two": "the penalty is attached already",
    },
)
