"""Prune by magnitude on a cubic schedule: a mask on every weight, recomputed by `step()` until the schedule ends.

    s(t) = s_f (1 - (1 - (t - t0) / (t1 - t0))^3)   between t0 and t1, s_f from t1 on        (Zhu and Gupta 2017, eq. 1)

The weights below the s(t)-th percentile of |w| are masked; a masked weight keeps its value and may return until t1,
after which the mask stays as it is. Times are shares of the training length that `prepare(..., steps=)` was told.
"""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from msgspec import Meta
from torch import Tensor, fx

from ..compiler.clock import step_ending
from ..compiler.contract import Exact, Options, OptionsFor, Pass
from ..compiler.edit import Edit
from ..compiler.graph import Graph, layer
from ..compiler.layers import MASKS, factor_of, is_layer, weights_multiplied
from ..compiler.magnitude import check_shares, thresholds
from ..compiler.pattern import Planned, Whole
from ..compiler.rule import Match, rule

_aten, _own = torch.ops.aten, torch.ops.lowbit

Share = Annotated[float, Meta(ge=0, le=1)]


class Settings(Options, frozen=True):
    """sparsity: the final share of zeros.   begin, end: when the schedule runs, as shares of the training.
    every: optimizer steps between two changes of the masks.   scope: the share holds of all weights together
    ("global") or of each layer ("layer").   pruned: false leaves a layer out."""

    sparsity: Annotated[float, Meta(ge=0, lt=1)] = 0.8
    begin: Share = 0.0
    end: Share = 0.5
    every: Annotated[int, Meta(ge=1, le=1_000_000)] = 10
    scope: Literal["global", "layer"] = "global"
    pruned: bool = True

    by_layer = frozenset({"sparsity", "pruned"})

    def __post_init__(self) -> None:
        if self.begin > self.end:
            raise ValueError(f"the schedule ends at {self.end:g}, before it begins at {self.begin:g}")


@torch.library.custom_op("lowbit::pruning_masks", mutates_args=())
def pruning_masks(
    weights: list[Tensor],
    masks: list[Tensor],
    step: Tensor,
    sparsities: list[float],
    begin: int,
    end: int,
    every: int,
    scope: str,
) -> list[Tensor]:
    """The masks, of each weight's shape with values 0 and 1, after training step number `step` (an int64 scalar)."""
    now = int(step)
    if now < begin or now > end or (now % every and now != end):
        return [mask.clone() for mask in masks]
    left = (1 - (now - begin) / (end - begin)) ** 3 if now < end else 0.0
    limits = thresholds(weights, [s * (1 - left) for s in sparsities], scope)
    return [(w.abs() > t).to(mask.dtype) for w, t, mask in zip(weights, limits, masks, strict=True)]


@pruning_masks.register_fake
def _(
    weights: list[Tensor],
    masks: list[Tensor],
    step: Tensor,
    sparsities: list[float],
    begin: int,
    end: int,
    every: int,
    scope: str,
) -> list[Tensor]:
    return [torch.empty_like(mask) for mask in masks]


def plan(graph: Graph, options: OptionsFor) -> dict[str, float]:
    """Node name of each pruned weight -> its final sparsity."""
    settings = {node.name: options(layer(node)) for node in weights_multiplied(graph)}
    shares = {name: own.sparsity for name, own in settings.items() if own.pruned}
    check_shares(shares.values(), options("").scope)
    return shares


def _mask_of(weight: fx.Node) -> fx.Node | None:
    """The mask that multiplies a weight, if there is one."""
    factors = [reader.args[1] for reader in weight.users if reader.target is _aten.mul.Tensor]
    masks = [f for f in factors if isinstance(f, fx.Node) and str(f.target).startswith(MASKS)]
    return masks[0] if masks else None


def _unmasked(match: Match) -> str:
    return "" if _mask_of(match.root) is None else "the weight is masked already"


@rule(Planned(), _unmasked)
def mask(match: Match, edit: Edit) -> fx.Node:
    """w -> w * mask, for every reader of w that multiplies by it; penalties go on reading w itself."""
    for reader in match.root.users:
        if not (is_layer(reader) or reader.target is _own.fake_quantize.default or factor_of(reader)):
            edit.keep(reader)
    ones = torch.ones_like(match.graph.tensor(match.root))
    return edit.call(_aten.mul.Tensor, match.root, edit.buffer(f"{MASKS}{match.root.target}", ones))


def _unscheduled(match: Match) -> str:
    if any(node.target is _own.pruning_masks.default for node in match.graph.nodes):
        return "the masks are scheduled already"
    return "" if match.plan else "no layer has a weight to prune"


@rule(Whole(), _unscheduled)
def schedule(match: Match, edit: Edit) -> fx.Node:
    """step() sets every mask."""
    begin, end = (match.step_at(share, "schedule_pruning") for share in (match.options.begin, match.options.end))
    weights = [node for node in match.graph.nodes if node.name in match.plan]
    masks = [mask for mask in map(_mask_of, weights) if mask is not None]
    settings = [match.plan[node.name] for node in weights], begin, max(1, end), match.options.every, match.options.scope
    changed = edit.call(_own.pruning_masks.default, weights, masks, step_ending(edit), *settings)
    for i, buffer in enumerate(masks):
        edit.update(buffer, edit.item(changed, i))
    return match.root


PASS = Pass(
    rules=(mask, schedule),
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
        "conv(3) | schedule_pruning(pruned=false)": "no layer has a weight to prune",
        "conv(3) | schedule_pruning": "the weight is masked already",
        "conv(3) | schedule_pruning | schedule_pruning": "the masks are scheduled already",
    },
)
