"""Penalize the distance of weights and activations to their grids: mean square quantization error.

    R = (1/N) sum_layers sum_w (w - Q(w; d))^2,   dR/dw = (2/N) (w - Q(w)),   dR/dd = (2/N) sum (Q(w) - w) q

(Choi, El-Khamy, Lee, arXiv 1809.00095). N counts all weights together. The activation term averages the mean of
every activation edge over a sample of the batch; it trains the scales alone and pushes on no weight. Each of the two
is weighted by a coefficient of its own, see `compiler/coefficient.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx

from ..compiler import fused
from ..compiler.attachment import grids, unless_attached
from ..compiler.coefficient import Coefficient, penalize
from ..compiler.contract import Exact, OptionsFor, Pass
from ..compiler.direct import gradient
from ..compiler.edit import Edit
from ..compiler.facts import weights_on_grid
from ..compiler.fused import Ends
from ..compiler.graph import Graph, arguments
from ..compiler.grid import along, centred, products, total, wide
from ..compiler.grids.scales import trained
from ..compiler.pattern import Whole
from ..compiler.rule import Match, rule
from ..compiler.samples import looks_at_some, some

_aten, _own = torch.ops.aten, torch.ops.lowbit


SAMPLES = 1 << 14
"""Values looked at of an activation edge in a step; its scale has one number to learn from them."""


class Settings(Coefficient, frozen=True):
    """weights, activations: which grids are attached to; the keys may differ by layer."""

    weights: bool = True
    activations: bool = True

    by_layer = frozenset({"weights", "activations"})


@torch.library.custom_op("lowbit::msqe", mutates_args=())
def msqe(
    xs: list[Tensor],
    scales: list[Tensor],
    zero: list[int],
    lo: list[int],
    hi: list[int],
    axis: list[int],
    odd: list[bool],
    shares: list[float],
    samples: int,
) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """(the sum over edges of share * mean (x - Q(x))^2, a scalar; its gradients by the scales; x - Q(x) of each x).

    samples: look at about so many values of an x, which gets no gradient then; 0: at all of them. The gradients are
    the closed forms above, not a graph of small steps.
    """
    edges = zip(xs, scales, zero, lo, hi, axis, odd, strict=True)
    found = [_error(wide(some(x, samples)), scale, *grid) for x, scale, *grid in edges]
    all_errors, squares, by_scale = (list(part) for part in zip(*found, strict=True))
    weights = _weights(shares, all_errors)
    value = (torch.stack(squares) * squares[0].new_tensor(weights)).sum()
    pushes = torch._foreach_mul(by_scale, [-2 * weight for weight in weights])
    slopes = [push.to(scale.dtype) for push, scale in zip(pushes, scales, strict=True)]
    errors = [] if samples else [error.to(x.dtype) for x, error in zip(xs, all_errors, strict=True)]
    return value.to(_wide_dtype(xs)), slopes, errors


def _weights(shares: list[float], errors: list[Tensor]) -> list[float]:
    """Of each edge's square error in the sum."""
    return [share / error.numel() for share, error in zip(shares, errors, strict=True)]


@msqe.register_fake
def _(xs: list[Tensor], scales: list[Tensor], *rest: Any) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    *_, samples = rest
    value = xs[0].new_empty((), dtype=_wide_dtype(xs))
    return value, [torch.empty_like(s) for s in scales], [torch.empty_like(x) for x in xs * (not samples)]


def _wide_dtype(xs: list[Tensor]) -> torch.dtype:
    """Of the value: under autocast some xs are of half precision, others not."""
    return torch.promote_types(xs[0].dtype, torch.float32)


def _error(
    x: Tensor, scale: Tensor, zero: int, lo: int, hi: int, axis: int, odd: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """(x - Q(x), the sum of its squares, the sums of its products with q, of the scale's shape)."""
    if fused.takes(x, scale, axis):
        return fused.errors(x, scale, Ends(lo - zero, hi - zero, odd))
    codes = centred(x, scale, zero, lo, hi, axis, odd)
    error = torch.addcmul(x, codes, along(scale, x.dim(), axis), value=-1)
    return error, total(error, error), products(codes, error, scale, axis)


def _setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, list[Tensor], list[Tensor]]) -> None:
    ctx.set_materialize_grads(False)  # of the lists, which nobody reads
    _, slopes, errors = output
    ctx.count, ctx.weights = len(slopes), _weights(inputs[7], errors) if errors else []
    ctx.save_for_backward(*slopes, *errors)


def _backward(ctx: Any, grad: Tensor | None, *_: Any) -> tuple[Any, ...]:
    nothing: list[Any] = [None] * ctx.count
    if grad is None:
        return nothing, nothing, *[None] * 7
    slopes, errors = ctx.saved_tensors[: ctx.count], ctx.saved_tensors[ctx.count :]
    by_edge = (grad * grad.new_tensor(ctx.weights) * 2).unbind()
    pushed = [error * weight for error, weight in zip(errors, by_edge, strict=True)]
    return pushed or nothing, list(torch._foreach_mul(slopes, grad)), *[None] * 7


gradient(msqe, _backward, _setup)
looks_at_some(_own.msqe.default, "samples")


@dataclass(frozen=True)
class Plan:
    """Names of the grids attached to, and the share of each in R."""

    weights: Mapping[str, float]
    activations: Mapping[str, float]


def plan(graph: Graph, options: OptionsFor) -> Plan:
    """Weights count by their number, activation edges alike; a scale that is given has nothing to learn."""
    weights = grids(graph, lambda path: options(path).weights)
    edges = grids(graph, lambda path: options(path).activations)
    sizes = {grid.name: graph.tensor(weight).numel() for grid, weight in weights.items() if weight is not None}
    learned = [grid.name for grid, weight in edges.items() if weight is None and trained(grid)]
    shares = {name: size / sum(sizes.values()) for name, size in sizes.items()}
    return Plan(shares, {name: 1 / len(learned) for name in learned})


def _attach(match: Match, edit: Edit, kind: str, shares: Mapping[str, float]) -> fx.Node:
    """Add the penalty sum(share * msqe(edge)), weighted by its coefficient."""
    edges = [node for node in match.graph.nodes if node.name in shares]
    found = [arguments(edge) for edge in edges]
    parts = {name: [given[name] for given in found] for name in ("zero", "lo", "hi", "axis", "odd")}
    xs, scales = ([given[name] for given in found] for name in ("x", "scale"))
    if kind == "activations":
        xs = [edit.call(_aten.detach.default, x) for x in xs]
    weighed = [shares[edge.name] for edge in edges]
    samples = SAMPLES if kind == "activations" else 0
    both = edit.call(_own.msqe.default, xs, scales, **parts, shares=weighed, samples=samples)
    penalize(match, edit, f"msqe_{kind}", edit.item(both, 0))
    return match.root


def _no_weight(match: Match) -> str:
    return "" if match.plan.weights else "no weight is on a grid"


@rule(Whole(), _no_weight, unless_attached("msqe_weights"))
def weights(match: Match, edit: Edit) -> fx.Node:
    return _attach(match, edit, "weights", match.plan.weights)


def _no_activation(match: Match) -> str:
    return "" if match.plan.activations else "no activation is chosen"


@rule(Whole(), _no_activation, unless_attached("msqe_activations"))
def activations(match: Match, edit: Edit) -> fx.Node:
    return _attach(match, edit, "activations", match.plan.activations)


PASS = Pass(
    rules=(weights, activations),
    law=Exact(),
    options=Settings,
    plan=plan,
    needs=(weights_on_grid,),
    fires=(
        "conv(3) bn relu linear(4) | insert_fake_quant | attach_msqe",
        "conv(3) | insert_fake_quant(per_channel=true, weight_bits=4) | attach_msqe",
        "conv(3) linear(4) | schedule_pruning | insert_fake_quant | attach_msqe",
    ),
    refuses={
        "relu | insert_fake_quant | attach_msqe": "no weight is on a grid",
        "conv(3) | insert_fake_quant | attach_msqe(activations=false)": "no activation is chosen",
        "conv(3) | insert_fake_quant | attach_msqe | attach_msqe": "the penalty is attached already",
    },
)
