"""Bring weights onto their grids in the last part of the training, whatever the optimizer.

    w <- w + c(t) (Q(k w) / k - w),   c from 0 to 1 between `begin` and `end`, behind every step of the optimizer

It is the proximal step of the square error, argmin_v lambda |v - Q(w)|^2 + |v - w|^2 with c = lambda / (1 + lambda)
(ProxQuant: Bai, Wang, Liberty, arXiv 1810.00861), outside of the gradient as a decoupled weight decay is: an
optimizer that divides gradients by their size can make no penalty strong enough to cross half a step in time. The
network computes with Q(w) already, which stays what it was, since Q(Q(w)) = Q(w): settling changes no output. It ends
the hopping of weights between levels, also in a training that goes on behind `end`.

k is the factor of a norm that `simulate_fold` left; what is masked keeps its value. Under DistributedDataParallel the
running statistics in k are those of each process until the next forward: so are the settled weights, by as much.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from typing import Any

import torch
from torch import Tensor, fx

from ..compiler.attachment import grids
from ..compiler.clock import step_ending
from ..compiler.contract import Exact, Options, OptionsFor, Pass
from ..compiler.direct import undifferentiated
from ..compiler.edit import Edit
from ..compiler.facts import weights_on_grid
from ..compiler.fused import plain
from ..compiler.graph import Graph, arguments
from ..compiler.layers import factor_of, is_mask, weight_of
from ..compiler.masks.placement import mask_of
from ..compiler.pattern import Whole
from ..compiler.rule import Match, rule
from ..compiler.schedule import Share, in_order

_own = torch.ops.lowbit

_GRID = ("scale", "zero", "lo", "hi", "axis", "odd")


class Settings(Options, frozen=True):
    """begin, end: shares of the training.   settled: false leaves a layer out."""

    begin: Share = 0.9
    end: Share = 1.0
    settled: bool = True

    by_layer = frozenset({"settled"})

    def __post_init__(self) -> None:
        in_order(self.begin, self.end)


@torch.library.custom_op("lowbit::settled", mutates_args=())
def settled(
    weight: Tensor,
    masks: list[Tensor],
    factors: list[Tensor],
    scale: Tensor,
    zero: int,
    lo: int,
    hi: int,
    axis: int,
    odd: bool,
    share: Tensor,
) -> Tensor:
    """The weight after its share of the way; masks and factors: what it is multiplied by on the way to its grid."""
    c = float(share)
    return _moved(weight, masks, factors, scale, (zero, lo, hi, axis, odd), c) if c else weight.clone()


@settled.register_fake
def _(weight: Tensor, *rest: Any) -> Tensor:
    return torch.empty_like(weight)


def _moved(
    weight: Tensor, masks: list[Tensor], factors: list[Tensor], scale: Tensor, grid: tuple[Any, ...], c: float
) -> Tensor:
    zero, lo, hi, axis, odd = grid
    x = reduce(torch.mul, [*masks, *factors], weight)
    level = reduce(torch.div, factors, _own.fake_quantize.default(x, scale, zero, lo, hi, axis, odd=odd))
    return torch.lerp(weight, level, reduce(torch.mul, masks, torch.full_like(scale[:1], c, dtype=weight.dtype)))


def _run(weight: Tensor, masks: list[Tensor], factors: list[Tensor], scale: Tensor, *rest: Any) -> Tensor:
    """Without a copy of a weight that stays; only the operator knows what to do with a share that has no value."""
    *grid, share = rest
    if not plain(share) or share.is_meta:
        unknown: Tensor = settled(weight, masks, factors, scale, *rest)
        return unknown
    c = float(share)
    return _moved(weight, masks, factors, scale, tuple(grid), c) if c else weight


undifferentiated(settled, _run)


def plan(graph: Graph, options: OptionsFor) -> Mapping[str, str]:
    """Name of each weight that is trained and comes to one grid through products alone -> that grid."""
    rounded: dict[str, dict[fx.Node, fx.Node]] = {}
    for grid, weight in grids(graph, lambda path: options(path).settled).items():
        if weight is not None and graph.tensor(weight).requires_grad and _products(grid) is not None:
            rounded.setdefault(str(weight.target), {})[arguments(grid)["x"]] = grid
    return {name: next(iter(found.values())).name for name, found in rounded.items() if len(found) == 1}


def _products(grid: fx.Node) -> list[fx.Node] | None:
    """The products on the way of a weight to its grid, from there on; None if more happens to it."""
    found: list[fx.Node] = []
    value = arguments(grid)["x"]
    while value.op != "get_attr":
        if factor_of(value) is None and mask_of(value) is None:
            return None
        found.append(value)
        value, _ = value.args
    return found


def _any(match: Match) -> str:
    return "" if match.plan else "no weight that is trained comes to one grid as it is"


def _unsettled(match: Match) -> str:
    return "weights are settled already" if match.plan.keys() & match.graph.updates.keys() else ""


@rule(Whole(), _any, _unsettled)
def settle(match: Match, edit: Edit) -> fx.Node:
    """step() moves each weight by its share of the way."""
    begin, end = (match.step_at(share, "settle_weights") for share in (match.options.begin, match.options.end))
    share = edit.call(_own.schedule.default, step_ending(edit), "ramp", begin, end, 0.0, 1.0)
    for grid in [node for node in match.graph.nodes if node.name in match.plan.values()]:
        weight: fx.Node = weight_of(grid)  # type: ignore[assignment]  # what is planned has one
        by = [product.args[1] for product in _products(grid) or ()]
        masks, factors = [each for each in by if is_mask(each)], [each for each in by if not is_mask(each)]
        given = {name: value for name, value in arguments(grid).items() if name in _GRID}
        edit.update(weight, edit.call(_own.settled.default, weight, masks, factors, **given, share=share))
    return match.root


PASS = Pass(
    rules=(settle,),
    law=Exact(),
    options=Settings,
    plan=plan,
    needs=(weights_on_grid,),
    fires=(
        "conv(3) bn relu linear(4) | insert_fake_quant | settle_weights",
        "conv(4) bn relu conv(3) | simulate_fold | schedule_pruning | insert_fake_quant | settle_weights",
        "conv(3) linear(2) | insert_fake_quant(weights='binary', weight_bits=1) | settle_weights(begin=0)",
    ),
    refuses={
        "relu | insert_fake_quant | settle_weights": "no weight that is trained comes to one grid as it is",
        "conv(3) | insert_fake_quant(weights='dorefa') | settle_weights": (
            "no weight that is trained comes to one grid as it is"
        ),
        "conv(3) | insert_fake_quant | settle_weights | settle_weights": "weights are settled already",
    },
)
