"""Penalize the smallest weights only, so that the chosen share of them falls to zero and the others are left alone.

    P = (1/N) sum_w w^2 [|w| <= theta(r)],   dP/dw = (2/N) w [|w| <= theta(r)],   theta(r): r-th percentile of |w|

(Choi, El-Khamy, Lee, arXiv 1809.00095). theta follows the weights. The paper's scope is not known; "global" takes one
percentile over all weights together, "layer" one for each tensor. Weighted by a coefficient, see
`compiler/coefficient.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import torch
from msgspec import Meta
from torch import Tensor, fx

from ..compiler import fused
from ..compiler.attachment import planned, unless_attached, where_planned
from ..compiler.coefficient import Coefficient, penalize
from ..compiler.contract import Exact, OptionsFor, Pass
from ..compiler.direct import gradient
from ..compiler.edit import Edit
from ..compiler.graph import Graph, layer
from ..compiler.grid import total
from ..compiler.layers import weights_multiplied
from ..compiler.magnitude import check_shares, thresholds
from ..compiler.pattern import Whole
from ..compiler.rule import Match, rule

_own = torch.ops.lowbit

NAME = "partial_l2"
SAMPLES = 1 << 16
"""Weights looked at for the percentile, which is taken anew every step: its share is right to about 0.2 points."""


class Settings(Coefficient, frozen=True):
    """sparsity: the share of weights pulled to zero.   scope: of all weights together ("global") or of each layer
    ("layer").   attached: false leaves a layer out."""

    sparsity: Annotated[float, Meta(ge=0, lt=1)] = 0.8
    scope: Literal["global", "layer"] = "global"
    attached: bool = True

    by_layer = frozenset({"sparsity", "attached"})


@torch.library.custom_op("lowbit::partial_l2", mutates_args=())
def partial_l2(weights: list[Tensor], shares: list[float], scope: str) -> tuple[Tensor, list[Tensor]]:
    """(P over all the weights, a scalar; the weights with 0 for all but the smallest, which pull in the gradient)."""
    limits = thresholds(weights, shares, scope, SAMPLES)
    pairs = [_small(w, t) for w, t in zip(weights, limits, strict=True)]
    return torch.stack([square for _, square in pairs]).sum() / _count(weights), [small for small, _ in pairs]


@partial_l2.register_fake
def _(weights: list[Tensor], shares: list[float], scope: str) -> tuple[Tensor, list[Tensor]]:
    return weights[0].new_empty(()), [torch.empty_like(w) for w in weights]


def _small(w: Tensor, limit: Tensor) -> tuple[Tensor, Tensor]:
    """(w where its magnitude does not exceed the limit, else 0; the sum of the squares of that)."""
    if w.dtype == torch.float32 and fused.takes(w, limit, 0):
        return fused.small(w, limit)
    small = w * (w.abs() <= limit)  # on CPUs a tenth of the time of masked_fill
    return small, total(small, small)


def _count(weights: Sequence[Tensor]) -> int:
    return sum(w.numel() for w in weights)


def _setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, list[Tensor]]) -> None:
    ctx.set_materialize_grads(False)  # of the list, which nobody reads
    ctx.save_for_backward(*output[1])


def _backward(ctx: Any, grad: Tensor | None, _: Any) -> tuple[list[Tensor | None], None, None]:
    small = ctx.saved_tensors
    if grad is None:
        return [None] * len(small), None, None
    pull = 2 * grad / _count(small)
    return [w * pull for w in small], None, None


gradient(partial_l2, _backward, _setup)


def plan(graph: Graph, options: OptionsFor) -> dict[str, float]:
    """Node name of each attached weight -> the share of it that is pulled to zero."""
    settings = {node.name: options(layer(node)) for node in weights_multiplied(graph)}
    shares = {name: own.sparsity for name, own in settings.items() if own.attached}
    check_shares(shares.values(), options("").scope)
    return shares


@rule(Whole(), where_planned("no layer has a weight to attach to"), unless_attached(NAME))
def attach(match: Match, edit: Edit) -> fx.Node:
    weights = planned(match)
    both = edit.call(_own.partial_l2.default, weights, list(match.plan.values()), match.options.scope)
    penalize(match, edit, NAME, edit.item(both, 0))
    return match.root


PASS = Pass(
    rules=(attach,),
    law=Exact(),
    options=Settings,
    plan=plan,
    fires=(
        "conv(3) bn relu linear(4) | attach_partial_l2",
        "conv(3) linear(4) | schedule_pruning | attach_partial_l2",
        "conv(3) | insert_fake_quant | attach_partial_l2",
    ),
    refuses={
        "relu | attach_partial_l2": "no layer has a weight to attach to",
        "conv(3) | attach_partial_l2(attached=false)": "no layer has a weight to attach to",
        "conv(3) | attach_partial_l2 | attach_partial_l2": "the penalty is attached already",
    },
)
