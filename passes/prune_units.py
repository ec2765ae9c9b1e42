"""Prune whole channels, and those coupled with them, on a cubic schedule: structured pruning, networks grow narrow.

    |u| = sqrt(sum_layers sum_w w^2),   w: the weights of unit u, the row of it in every layer that computes it
    s(t) = s_f + (s_i - s_f) (1 - (t - t0) / (t1 - t0))^3                    (Zhu and Gupta 2017, eq. 1)

A unit is what must go together: a channel through depthwise convolutions, norms, sums and concatenations (Fang et al.
2023, section 3.1). Of each set of units in the same places, or of all ("global": by |u| over its mean in the set), the
smallest s(t) are masked with their weights, biases, norm scales and shifts. So they are zero, and `remove_dead_units`
takes them, and what reads them, out of the program. One unit of each set stays, and so do those that reach an input or
output of the model. Until the schedule ends, units may return.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, fx

from ..compiler.contract import Exact, OptionsFor, Pass
from ..compiler.edit import Edit
from ..compiler.facts import folds_alone
from ..compiler.graph import Graph, layer
from ..compiler.layers import weight_of
from ..compiler.magnitude import cubic
from ..compiler.masks.criterion import Schedule, Sparsity, criterion
from ..compiler.masks.placement import Plan, end_of, masking
from ..compiler.rule import Match
from ..compiler.units.trained import STAYS, Coupled, coupled

UNITS = "lowbit.units."
"""Names of the buffers that say which unit each channel of a parameter is, and which set each unit belongs to."""


class Settings(Schedule, frozen=True):
    """sparsity, initial: the final share of units that go, and the first.   scope: the shares hold of each set of units
    in the same places ("layer") or of all units together ("global")."""

    sparsity: Sparsity = 0.5
    initial: Sparsity = 0.0
    scope: Literal["global", "layer"] = "layer"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.initial > self.sparsity:
            raise ValueError(f"the share of units that go falls from {self.initial:g} to {self.sparsity:g}")


@criterion
def unit_masks(
    weights: list[Tensor],
    masks: list[Tensor],
    progress: float,
    units: list[Tensor],
    counted: list[bool],
    sets: Tensor,
    first: float,
    last: float,
    scope: str,
) -> list[Tensor]:
    """All units but the smallest.   counted: whether a tensor is one whose weights make |u|."""
    norms = _norms(
        [pair for pair, counts in zip(zip(weights, units, strict=True), counted, strict=True) if counts], sets
    )
    share = cubic(first, last, progress)
    stays = _together(norms, sets, share) if scope == "global" else _apart(norms, sets, share)
    return [stays[ids] for ids in units]


def _norms(parts: list[tuple[Tensor, Tensor]], sets: Tensor) -> Tensor:
    """|u|, (units,), float64."""
    total = torch.zeros(len(sets), dtype=torch.float64, device=sets.device)
    for w, ids in parts:
        total.index_add_(0, ids.reshape(-1), w.double().square().sum_to_size(ids.shape).reshape(-1))
    return total.sqrt()


def _apart(norms: Tensor, sets: Tensor, share: float) -> Tensor:
    """Which units stay, (units,), where each set loses its share."""
    stays = torch.ones(len(sets), dtype=torch.bool, device=sets.device)
    for number in range(int(sets.max()) + 1):
        members = (sets == number).nonzero().reshape(-1)
        count = min(round(share * len(members)), len(members) - 1)
        stays[members[norms[members].argsort(stable=True)[:count]]] = False
    return stays


def _together(norms: Tensor, sets: Tensor, share: float) -> Tensor:
    """Which units stay where all of them together lose the share; the largest of each set does in any case."""
    stays = torch.ones(len(sets), dtype=torch.bool, device=sets.device)
    relative = torch.full_like(norms, torch.inf)
    for number in range(int(sets.max()) + 1):
        members = (sets == number).nonzero().reshape(-1)
        mean = norms[members].mean()
        relative[members] = norms[members] / torch.where(mean > 0, mean, 1)
        relative[members[norms[members].argmax()]] = torch.inf
    count = min(round(share * int((sets != STAYS).sum())), int(relative.isfinite().sum()))
    stays[relative.argsort(stable=True)[:count]] = False
    return stays


@dataclass(frozen=True, eq=False, kw_only=True)
class UnitPlan(Plan):
    """known: the units of the graph."""

    known: Coupled


def plan(graph: Graph, options: OptionsFor) -> Plan:
    """Every parameter that makes a unit that may go."""
    known = coupled(graph, lambda path: bool(options(path).pruned))
    chosen: dict[str, Any] = {}
    kept: dict[str, str] = {}
    shapes: dict[str, torch.Size] = {}
    for node in graph.nodes:
        name = str(node.target)
        if node.op != "get_attr" or name not in known.parts.keys() | known.reasons.keys():
            continue
        end = end_of(graph, node, unit_masks).name
        if name in known.parts:
            chosen[end], shapes[end] = options(layer(node)), known.parts[name].shape
        else:
            kept[end] = known.reasons[name]
    return UnitPlan(chosen, kept, shapes, known=known)


def given(match: Match, edit: Edit, weights: list[fx.Node]) -> Sequence[Any]:
    known: Coupled = match.plan.known
    parts: list[fx.Node] = [weight_of(node) for node in weights]  # type: ignore[misc]  # what is planned has one
    units = [edit.buffer(f"{UNITS}{part.target}", known.parts[str(part.target)]) for part in parts]
    counted = [part.target in known.weights for part in parts]
    options: Settings = match.options
    sets = edit.buffer(f"{UNITS}sets", known.sets)
    return units, counted, sets, options.initial, options.sparsity, options.scope


PASS = Pass(
    rules=masking(unit_masks, "prune_units", given),
    law=Exact(),
    options=Settings,
    plan=plan,
    needs=(folds_alone,),
    fires=(
        "conv(4) bn relu conv(6,groups=1) relu gap linear(3) | prune_units",
        "conv(4) bn relu [ conv(4) bn relu conv(4) bn ] + relu gap linear(3) | prune_units(scope='global')",
        "conv(6) relu conv(6,groups=6) bn relu [ conv(3,k=1) ] cat conv(4,k=1) view linear(2) | prune_units",
        "conv(4) relu linear(3) | schedule_pruning | insert_fake_quant | prune_units(gradient='straight')",
    ),
    refuses={
        "relu | prune_units": "no layer has a weight to prune",
        "conv(3) | prune_units": "it is an output of the model",
        "conv(4) relu conv(4) | prune_units(pruned=false)": "the recipe leaves it out",
        "conv(4) conv(4,groups=2) conv(2) | prune_units": (
            "the groups of a convolution must have the same number of channels"
        ),
        "conv(4) relu conv(4) | prune_units": "the weight is masked already",
        "conv(4) relu conv(4) | prune_units | prune_units": "the masks are scheduled already",
    },
)
