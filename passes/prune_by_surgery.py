"""Prune by two thresholds, so that weights come and go but do not flicker: dynamic network surgery.

    m <- 0 where |w| < a,   1 where |w| >= b,   else as it was
    a = low (mean |w| + sigma std |w|),   b = high (mean |w| + sigma std |w|)       (Guo, Yao, Chen 2016, eq. 3)

Mean and deviation are those of each layer at the first step of the schedule. A masked weight goes on learning, by the
gradient of the zero in its place, and returns once it is large enough, until the schedule ends. At least the largest
weight of a layer stays.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import torch
from msgspec import Meta
from torch import Tensor, fx

from ..compiler.clock import step_ending
from ..compiler.contract import Exact, Pass
from ..compiler.edit import Edit
from ..compiler.magnitude import Deviations, deviating
from ..compiler.masks.criterion import Schedule, criterion
from ..compiler.masks.placement import masking, placed
from ..compiler.rule import Match

_own = torch.ops.lowbit

SPREADS = "lowbit.spreads.surgery"
"""Name of the buffer of mean |w| + sigma std |w| of each weight, as it was when the schedule began."""


class Settings(Schedule, frozen=True):
    """sigma: the thresholds' distance from the mean magnitude, in deviations.   low, high: what they are multiplied by,
    below which a weight goes and from which on it returns."""

    sigma: Deviations = 0.5
    low: Annotated[float, Meta(ge=0, le=10)] = 0.9
    high: Annotated[float, Meta(ge=0, le=10)] = 1.1
    gradient: Literal["masked", "straight"] = "straight"

    by_layer = Schedule.by_layer | {"sigma"}

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.low > self.high:
            raise ValueError(f"weights would return at {self.high:g}, before they go at {self.low:g}")


@criterion
def surgery(
    weights: list[Tensor], masks: list[Tensor], progress: float, spreads: Tensor, low: float, high: float
) -> list[Tensor]:
    """Those that are large; of those in between, whichever stayed so far."""
    return [_kept(w, mask, s, low, high) for w, mask, s in zip(weights, masks, spreads.unbind(), strict=True)]


def _kept(w: Tensor, mask: Tensor, spread: Tensor, low: float, high: float) -> Tensor:
    size, most = w.abs(), w.abs().max()
    above = (low * spread).clamp(max=most)
    return (size >= (high * spread).clamp(max=most)) | ((mask > 0) & (size >= above))


@torch.library.custom_op("lowbit::spreads", mutates_args=())
def spreads(weights: list[Tensor], held: Tensor, step: Tensor, first: int, sigmas: list[float]) -> Tensor:
    """mean |w| + sigma std |w| of each weight, (weights,), taken at step `first`; else what is held."""
    if int(step) != first:
        return held.clone()
    return torch.stack([deviating(w, sigma) for w, sigma in zip(weights, sigmas, strict=True)]).to(held.dtype)


@spreads.register_fake
def _(weights: list[Tensor], held: Tensor, step: Tensor, first: int, sigmas: list[float]) -> Tensor:
    return torch.empty_like(held)


def given(match: Match, edit: Edit, weights: list[fx.Node]) -> Sequence[Any]:
    sigmas = [match.plan.chosen[node.name].sigma for node in weights]
    held = edit.buffer(SPREADS, match.graph.evaluate(weights[0]).new_zeros(len(weights)))
    first = max(1, match.step_at(match.options.begin, "prune_by_surgery"))
    taken = edit.call(_own.spreads.default, weights, held, step_ending(edit), first, sigmas)
    edit.update(held, taken)
    return taken, match.options.low, match.options.high


PASS = Pass(
    rules=masking(surgery, "prune_by_surgery", given),
    law=Exact(),
    options=Settings,
    plan=placed(surgery),
    fires=(
        "conv(3) bn linear(4) | prune_by_surgery",
        "conv(3) | insert_fake_quant | prune_by_surgery(gradient='masked')",
        "conv(3) bn linear(2) | simulate_fold | prune_by_surgery",
        "conv(3) linear(4) | schedule_pruning | prune_by_surgery",
    ),
    refuses={
        "relu | prune_by_surgery": "no layer has a weight to prune",
        "conv(3) | prune_by_surgery(pruned=false)": "the recipe leaves it out",
        "conv(3) | prune_by_surgery": "the weight is masked already",
        "conv(3) | prune_by_surgery | prune_by_surgery": "the masks are scheduled already",
    },
)
