"""Prune to n of m: of every m weights beside each other along the input channels, the n largest stay.

    sum_j m_j = n,   j = the m input channels of a block at one output channel and one tap    (Zhou et al. 2021, eq. 2)

A layer whose input channels (those of a group, in a grouped convolution) are no multiple of m stays whole, and the
ledger says so: as a rule the first convolution of a network of images, and depthwise ones. Of equal weights the first
stay.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from msgspec import Meta
from torch import Tensor, fx

from ..compiler.contract import Exact, Pass
from ..compiler.edit import Edit
from ..compiler.graph import arguments, shape
from ..compiler.layers import groups, weight_of
from ..compiler.masks.criterion import Schedule, criterion
from ..compiler.masks.placement import layers_of, masking, placed
from ..compiler.operators import TRANSPOSED
from ..compiler.rule import Match

Count = Annotated[int, Meta(ge=1, le=64)]


class Settings(Schedule, frozen=True):
    """n, m: how many stay, of how many."""

    n: Count = 2
    m: Count = 4

    by_layer = Schedule.by_layer | {"n", "m"}

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.n > self.m:
            raise ValueError(f"{self.n} of {self.m} cannot stay")


@criterion
def n_of_m(
    weights: list[Tensor], masks: list[Tensor], progress: float, axes: list[int], n: list[int], m: list[int]
) -> list[Tensor]:
    """The n largest of each block of m along an axis."""
    return [_largest(*each) for each in zip(weights, axes, n, m, strict=True)]


def _largest(w: Tensor, axis: int, n: int, m: int) -> Tensor:
    blocks = w.abs().movedim(axis, 0).reshape(-1, m, w.numel() // w.shape[axis])
    order = blocks.argsort(dim=1, descending=True, stable=True)
    stay = blocks.new_zeros(blocks.shape).scatter_(1, order[:, :n], 1.0)
    return stay.reshape(w.movedim(axis, 0).shape).movedim(0, axis)


def _whole(calls: list[fx.Node], own: Settings) -> str:
    if len({_axis(call) for call in calls}) > 1:
        return "its input channels lie along two axes"
    count = {_inputs(call) for call in calls}
    odd = next((size for size in sorted(count) if size % own.m), None)
    return "" if odd is None else f"its {odd} input channels are no multiple of m"


def _axis(call: fx.Node) -> int:
    """The axis of its input channels in a layer's weight."""
    return 0 if call.target in TRANSPOSED else 1


def _inputs(call: fx.Node) -> int:
    """The input channels of each of its groups."""
    size = int(shape(arguments(call)["weight"])[_axis(call)])
    return size // groups(call) if call.target in TRANSPOSED else size


def given(match: Match, edit: Edit, weights: list[fx.Node]) -> Sequence[Any]:
    calls = layers_of(match.graph)
    own = [match.plan.chosen[node.name] for node in weights]
    axes = [_axis(calls[weight_of(node)][0]) for node in weights]  # type: ignore[index]
    return axes, [each.n for each in own], [each.m for each in own]


PASS = Pass(
    rules=masking(n_of_m, "prune_n_of_m", given),
    law=Exact(),
    options=Settings,
    plan=placed(n_of_m, _whole),
    fires=(
        "conv(4) bn relu conv(3) flatten linear(4) | prune_n_of_m",
        "conv(4) relu conv(4,groups=2) | insert_fake_quant | prune_n_of_m(n=1,m=2)",
        "input(4,8,8) tconv(4) bn linear(2) | simulate_fold | prune_n_of_m",
    ),
    refuses={
        "relu | prune_n_of_m": "no layer has a weight to prune",
        "conv(3) | prune_n_of_m": "its 3 input channels are no multiple of m",
        "conv(4) conv(4) | prune_n_of_m(pruned=false)": "the recipe leaves it out",
        "conv(4) conv(4) | prune_n_of_m": "the weight is masked already",
        "conv(4) conv(4) | prune_n_of_m | prune_n_of_m": "the masks are scheduled already",
    },
)
