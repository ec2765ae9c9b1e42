"""How a graph runs the grid of a weight with what stands around it: in one pass over memory, where C can.

    fake_quantize(w * mask * k) / k     and its gradients are those of the four, see `fused_weights.py`
    w * mask * k                        where a penalty reads the product

mask: of a pruned weight; k: the factor of a norm whose fold is simulated. Graphs keep the calls, and so does
torch.compile.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, fx

from . import fused, fused_weights
from .direct import differentiable, directly, instead
from .fused import Ends
from .fused_weights import Around
from .graph import Graph, arguments, must_stay, origin, shape
from .layers import factor_of, is_mask, spread_factor
from .operators import aten, own

_rounding = directly(own.fake_quantize.default)

Product = tuple[fx.Node, fx.Node | None, fx.Node | None]
"""The weight, its mask, and k as it is spread along the weight."""


def weights_joined(graph: Graph) -> Graph:
    """The graph to run. What stands in a block of autocast stays as it is."""
    run, _ = graph.copy()
    for node in run.nodes:
        if node.target is own.fake_quantize.default and _plain(node):
            _join_grid(run, node)
    run.fx.eliminate_dead_code(must_stay)
    for node in reversed(run.nodes):
        weight, mask, k = _product(node)
        if mask is not None and k is not None:
            instead(run, node, multiplied, (weight, mask, k))
    run.fx.eliminate_dead_code(must_stay)
    return run


def _join_grid(graph: Graph, rounding: fx.Node) -> None:
    x, *grid = arguments(rounding).values()
    weight, mask, k = _product(x) if len(x.users) == 1 else (x, None, None)
    if weight is x:
        return
    reader = next(iter(rounding.users))
    divides = len(rounding.users) == 1 and k is not None and _divides(reader, k)
    instead(graph, reader if divides else rounding, weighed, (weight, mask, k, divides, *grid))


def _divides(node: fx.Node, k: fx.Node) -> bool:
    """Whether the node divides by that k, along the same axis."""
    if node.target is not aten.div.Tensor or not _plain(node):
        return False
    by = arguments(node)["other"]
    return spread_factor(by) is spread_factor(k) and shape(by) == shape(k)


def _product(node: fx.Node) -> Product:
    """What is multiplied into this node, as far as nobody else reads it on the way."""
    mask = k = None
    while node.target is aten.mul.Tensor and _plain(node):
        value, factor = (arguments(node)[name] for name in ("self", "other"))
        if mask is None and is_mask(factor):
            mask = factor
        elif k is None and factor_of(node) is not None:
            k = factor
        else:
            break
        node = value
        if len(node.users) > 1:
            break
    return node, mask, k


def _plain(node: fx.Node) -> bool:
    return not origin(node).autocasts


def multiplied(w: Tensor, mask: Tensor, k: Tensor) -> Tensor:
    """w * mask * k."""
    if torch.compiler.is_compiling() or not fused_weights.takes(w, Around(mask, k)):
        return w * mask * k
    run: Any = _Multiplied.apply
    product: Tensor = run(w, mask, k)
    return product


class _Multiplied(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, w: Tensor, mask: Tensor, k: Tensor) -> Tensor:
        ctx.save_for_backward(mask, k)
        return fused_weights.multiplied(w, Around(mask, k))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        return multiplied(grad, *ctx.saved_tensors), None, None


def weighed(
    w: Tensor, mask: Tensor | None, k: Tensor | None, divides: bool, scale: Tensor, zero: int, *grid: Any
) -> Tensor:
    """`fake_quantize` of w * mask * k, divided by k if it `divides`; grid: its other arguments, in their order."""
    around, rest = Around(mask, k, divides), (zero, *grid)
    axis = rest[3]
    if torch.compiler.is_compiling() or not fused_weights.takes(w, around, scale, axis):
        return _apart(w, scale, around, rest)
    run: Any = _Weighed.apply
    rounded: Tensor = run(w, around, scale, rest)
    return rounded


def _apart(w: Tensor, scale: Tensor, around: Around, grid: tuple[Any, ...]) -> Tensor:
    for factor in around.factors:
        w = w * factor
    rounded: Tensor = _rounding(w, scale, *grid)
    return rounded if around.k is None or not around.divides else rounded / around.k


class _Weighed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, w: Tensor, around: Around, scale: Tensor, grid: tuple[Any, ...]) -> Tensor:
        zero, lo, hi, _, ctx.straight, odd, ctx.clipped = ctx.grid = grid
        ctx.around, ctx.ends = around, Ends(lo - zero, hi - zero, odd)
        ctx.save_for_backward(w, scale, *around.factors)
        return fused_weights.rounded(w, around, scale, ctx.ends)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        w, scale, *_ = ctx.saved_tensors
        if torch.is_grad_enabled() or not fused.plain(grad):  # of a gradient that is differentiated in turn
            run = partial(_apart, around=ctx.around, grid=ctx.grid)
            by_w, by_scale = differentiable(run, (w, scale), grad)
        else:
            by_w, by_scale = fused_weights.slopes(w, grad, ctx.around, scale, ctx.ends, ctx.straight, ctx.clipped)
        return by_w, None, by_scale if ctx.needs_input_grad[2] else None, None
