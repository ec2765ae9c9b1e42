"""Prune by magnitude on a cubic schedule: a mask on every weight, recomputed by `step()` until the schedule ends.

    s(t) = s_f + (s_i - s_f) (1 - (t - t0) / (t1 - t0))^3   between t0 and t1, s_f from t1 on
                                                                             (Zhu and Gupta 2017, eq. 1)

The smallest s(t) of all |w| are masked, of equal ones the first; a masked weight keeps its value and may return until
t1, after which the mask stays as it is. Times are shares of the training length that `prepare(..., steps=)` was told.
With begin = end all of it happens in one step, such as behind a penalty that has pulled the smallest weights to zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from torch import Tensor, fx

from ..compiler.contract import Exact, OptionsFor, Pass
from ..compiler.edit import Edit
from ..compiler.graph import Graph
from ..compiler.magnitude import check_shares, cubic, largest
from ..compiler.masks.criterion import Schedule, Sparsity, criterion
from ..compiler.masks.placement import Plan, masking, placed
from ..compiler.rule import Match


class Settings(Schedule, frozen=True):
    """sparsity, initial: the final share of zeros, and the first.   scope: the shares hold of all weights together
    ("global") or of each layer ("layer")."""

    sparsity: Sparsity = 0.8
    initial: Sparsity = 0.0
    scope: Literal["global", "layer"] = "global"

    by_layer = Schedule.by_layer | {"sparsity", "initial"}

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.initial > self.sparsity:
            raise ValueError(f"the share of zeros falls from {self.initial:g} to {self.sparsity:g}")


@criterion
def pruning_masks(
    weights: list[Tensor], masks: list[Tensor], progress: float, first: list[float], last: list[float], scope: str
) -> list[Tensor]:
    """All but the smallest."""
    return largest(weights, [cubic(a, b, progress) for a, b in zip(first, last, strict=True)], scope)


def plan(graph: Graph, options: OptionsFor) -> Plan:
    found = placed(pruning_masks)(graph, options)
    for name in ("sparsity", "initial"):
        check_shares([getattr(own, name) for own in found.chosen.values()], options("").scope)
    return found


def given(match: Match, edit: Edit, weights: list[fx.Node]) -> Sequence[Any]:
    own = [match.plan.chosen[node.name] for node in weights]
    return [each.initial for each in own], [each.sparsity for each in own], match.options.scope


PASS = Pass(
    rules=masking(pruning_masks, "schedule_pruning", given),
    law=Exact(),
    options=Settings,
    plan=plan,
    fires=(
        "conv(3) bn linear(4) | schedule_pruning",
        "conv(3) | insert_fake_quant | schedule_pruning",
        "conv(3) linear(4) | attach_partial_l2 | schedule_pruning",
        "conv(3) bn | simulate_fold | schedule_pruning",
    ),
    refuses={
        "relu | schedule_pruning": "no layer has a weight to prune",
        "conv(3) | schedule_pruning(pruned=false)": "the recipe leaves it out",
        "conv(3) | schedule_pruning": "the weight is masked already",
        "conv(3) | schedule_pruning | schedule_pruning": "the masks are scheduled already",
    },
)
