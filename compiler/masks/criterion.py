"""When masks change: options that all pruning passes share, and the operator that a criterion becomes.

A criterion says which weights stay; the schedule asks it at step t if begin <= t <= end, and t is a multiple of `every`
or the end. In between, before and after, masks stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

import torch
from msgspec import Meta
from torch import Tensor, fx

from ..contract import Options
from ..direct import undifferentiated
from ..fused import plain
from ..graph import schema_arguments
from ..schedule import Share, in_order

Sparsity = Annotated[float, Meta(ge=0, lt=1)]
_WHEN = ("step", "begin", "end", "every")


class Schedule(Options, frozen=True):
    """begin, end: when masks change, as shares of the training.   every: optimizer steps between two changes.
    gradient: what a masked weight learns from: nothing ("masked"), or the gradient of the zero in its place
    ("straight"), by which it may grow and return.   pruned: false leaves a layer out."""

    begin: Share = 0.0
    end: Share = 0.5
    every: Annotated[int, Meta(ge=1, le=1_000_000)] = 10
    gradient: Literal["masked", "straight"] = "masked"
    pruned: bool = True

    by_layer = frozenset({"pruned"})

    def __post_init__(self) -> None:
        in_order(self.begin, self.end)


def criterion(choose: Callable[..., list[Tensor]]) -> Any:
    """The operator `lowbit::NAME` of a function choose(weights, masks, progress, ...) -> which weights stay.

    choose: told the weights as the masks before this one leave them, the present masks, and how much of the schedule is
        over, 0..1; it gives a tensor of each weight's shape, true or 1 where that stays.
    The operator takes `step`, `begin`, `end`, `every` in the place of `progress` and gives the masks after that step.
    """
    ours = torch.library.infer_schema(choose, mutates_args=())
    when = "Tensor step, SymInt begin, SymInt end, SymInt every"
    schema = ours.replace("float progress", when)

    def changed(
        weights: list[Tensor], masks: list[Tensor], step: Tensor, begin: int, end: int, every: int, *own: Any
    ) -> list[Tensor]:
        now = int(step)
        if now < begin or now > end or (now % every and now != end):
            return masks
        progress = (now - begin) / (end - begin) if now < end else 1.0
        stays = choose(weights, masks, progress, *own)
        return [stay.to(mask.dtype, copy=True) for stay, mask in zip(stays, masks, strict=True)]

    def fresh(weights: list[Tensor], masks: list[Tensor], *rest: Any) -> list[Tensor]:
        """An operator may not give back what it was given."""
        new = changed(weights, masks, *rest)
        return [mask.clone() for mask in masks] if new is masks else new

    operator = torch.library.custom_op(f"lowbit::{choose.__name__}", fresh, mutates_args=(), schema=schema)
    operator.register_fake(lambda weights, masks, *rest: [torch.empty_like(mask) for mask in masks])

    def run(weights: list[Tensor], masks: list[Tensor], step: Tensor, *rest: Any) -> list[Tensor]:
        """Without a copy of masks that stay; only the operator knows what to do with a step that has no value."""
        valued = plain(step) and not step.is_meta
        return changed(weights, masks, step, *rest) if valued else operator(weights, masks, step, *rest)

    undifferentiated(operator, run)
    return getattr(torch.ops.lowbit, choose.__name__).default


def is_criterion(node: fx.Node) -> bool:
    """Whether this call says what masks become."""
    names = [name for name, _ in schema_arguments(node.target)] if hasattr(node.target, "_schema") else []
    return names[:2] == ["weights", "masks"] and set(_WHEN) <= set(names)
