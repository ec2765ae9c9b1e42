"""How a graph runs a ReLU, or another limit, and the grid behind it: in one pass over memory, where C can.

    fake_quantize(hardtanh(x, bottom, top)) and its gradients are those of the two, see `fused.py`

The limited values themselves are made nowhere: whoever looks at some of them has those alone limited. Graphs keep the
two calls, and so does torch.compile.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx

from . import fused
from .direct import differentiable, directly, instead
from .fused import Ends, Limits
from .graph import Graph, arguments, origin
from .operators import aten, own
from .samples import looked_at, some

_rounding = directly(own.fake_quantize.default)


def limits_joined(graph: Graph) -> Graph:
    """The graph to run. What stands in a block of autocast stays as it is."""
    run, _ = graph.copy()
    for node in run.nodes:
        if (limits := _limits(node)) is not None and _fits(node):
            _join(run, node, limits)
    return run


def _limits(node: fx.Node) -> Limits | None:
    given = arguments(node) if node.target in (aten.relu.default, aten.hardtanh.default) else {}
    if not given or origin(node).autocasts:
        return None
    return Limits(float(given.get("min_val", 0.0)), float(given.get("max_val", math.inf)))


def _fits(node: fx.Node) -> bool:
    """Whether one reader rounds the limited values, and the others look at some of them."""
    rounding = [user for user in node.users if user.target is own.fake_quantize.default]
    return len(rounding) == 1 and all(user in rounding or _looking(user) for user in node.users) and _plain(*rounding)


def _plain(rounding: fx.Node) -> bool:
    return not arguments(rounding)["straight"] and not origin(rounding).autocasts


def _looking(detached: fx.Node) -> int:
    """How many of the values the readers behind a detach look at; 0: at all, or not all at so many."""
    counts = {looked_at(user) for user in detached.users} if detached.target is aten.detach.default else {0}
    return counts.pop() if len(counts) == 1 else 0


def _join(graph: Graph, node: fx.Node, limits: Limits) -> None:
    x = arguments(node)["self"]
    for user in list(node.users):
        rounds = user.target is own.fake_quantize.default
        args = tuple(arguments(user).values())[1:] if rounds else (_looking(user),)
        instead(graph, user, limited if rounds else limited_some, (x, *limits, *args))
    graph.fx.erase_node(node)


def limited_some(x: Tensor, bottom: float, top: float, count: int) -> Tensor:
    """Some of the values of x, within limits; no gradient passes."""
    return F.hardtanh(some(x.detach(), count), bottom, top)


def limited(x: Tensor, bottom: float, top: float, scale: Tensor, *grid: Any) -> Tensor:
    """`fake_quantize` of x within limits; grid: its other arguments, in their order."""
    axis = grid[3]
    if torch.compiler.is_compiling() or not fused.takes(x, scale, axis):
        return _apart(x, scale, Limits(bottom, top), grid)
    run: Any = _Limited.apply
    rounded: Tensor = run(x, Limits(bottom, top), scale, grid)
    return rounded


def _apart(x: Tensor, scale: Tensor, limits: Limits, grid: tuple[Any, ...]) -> Tensor:
    inside = F.relu(x) if limits == (0, math.inf) else F.hardtanh(x, *limits)
    rounded: Tensor = _rounding(inside, scale, *grid)
    return rounded


class _Limited(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, limits: Limits, scale: Tensor, grid: tuple[Any, ...]) -> Tensor:
        zero, lo, hi, _, _, odd, _ = ctx.grid = grid
        ctx.limits, ctx.ends = limits, Ends(lo - zero, hi - zero, odd)
        ctx.save_for_backward(x, scale)
        return fused.rounded(x, scale, ctx.ends, limits)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, scale = ctx.saved_tensors
        if torch.is_grad_enabled() or not fused.plain(grad):  # of a gradient that is differentiated in turn
            run = partial(_apart, limits=ctx.limits, grid=ctx.grid)
            by_x, by_scale = differentiable(run, (x, scale), grad)
        else:
            by_x, by_scale = fused.slopes(x, grad.to(x.dtype), scale, ctx.ends, ctx.grid[-1], ctx.limits)
        return by_x, None, by_scale if ctx.needs_input_grad[2] else None, None
