"""Prune by a threshold that follows the weights: sparsify, then quantize, in every step.

    m = [|w| >= t],   t = mean |w| + sigma std |w|   of each layer    (SQuantizer: Park, Xu, Brick, arXiv 1812.08301)

Weights are quantized behind their masks, in the order of the paper. After a first part of the training without masks
these change with every step to its end; weights return as they grow, or as the threshold falls. At least the largest
weight of a layer stays. How sigma changes in the course of a training is not known of the paper; here it does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from msgspec import Meta
from torch import Tensor, fx

from ..compiler.contract import Exact, Pass
from ..compiler.edit import Edit
from ..compiler.magnitude import Deviations, deviating
from ..compiler.masks.criterion import Schedule, criterion
from ..compiler.masks.placement import masking, placed
from ..compiler.rule import Match
from ..compiler.schedule import Share


class Settings(Schedule, frozen=True):
    """sigma: the threshold's distance from the mean magnitude, in deviations."""

    sigma: Deviations = 0.0
    begin: Share = 1 / 3
    end: Share = 1.0
    every: Annotated[int, Meta(ge=1, le=1_000_000)] = 1

    by_layer = Schedule.by_layer | {"sigma"}


@criterion
def sparsified(weights: list[Tensor], masks: list[Tensor], progress: float, sigmas: list[float]) -> list[Tensor]:
    """Those that reach the threshold, or are the largest."""
    sizes = [w.abs() for w in weights]
    limits = [deviating(w, sigma) for w, sigma in zip(weights, sigmas, strict=True)]
    return [size >= limit.clamp(max=size.max()) for size, limit in zip(sizes, limits, strict=True)]


def given(match: Match, edit: Edit, weights: list[fx.Node]) -> Sequence[Any]:
    return [[match.plan.chosen[node.name].sigma for node in weights]]


PASS = Pass(
    rules=masking(sparsified, "sparsify", given),
    law=Exact(),
    options=Settings,
    plan=placed(sparsified),
    fires=(
        "conv(3) bn linear(4) | sparsify",
        "conv(3) | insert_fake_quant | sparsify(gradient='straight')",
        "conv(3) bn linear(2) | simulate_fold | sparsify",
    ),
    refuses={
        "relu | sparsify": "no layer has a weight to prune",
        "conv(3) | sparsify(pruned=false)": "the recipe leaves it out",
        "conv(3) | sparsify": "the weight is masked already",
        "conv(3) | sparsify | sparsify": "the masks are scheduled already",
    },
)
