"""Scales of grids that are trained: the parameter behind each, and the value that gives it a wanted scale."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, fx

from ..direct import gradient
from ..edit import Edit
from ..graph import OWN, arguments
from ..quantizer import Edge

_aten, _own = torch.ops.aten, torch.ops.lowbit


def exponent(edit: Edit, edge: Edge) -> fx.Node:
    """The parameter log2(scale), which moves by factors; edges of one group have one."""
    return _parameter(edit, edge, edge.name, torch.log2(edge.start))


def linear(edit: Edit, edge: Edge, steps: int = 1, gradient: float = 1.0) -> fx.Node:
    """The parameter `steps` * scale, as it is but for its sign: no scale is negative. gradient: a factor of its own."""
    size = _parameter(edit, edge, edge.name.replace(".scales.", ".ranges."), edge.start * steps)
    return edit.call(_own.magnitude.default, size, gradient)


def _parameter(edit: Edit, edge: Edge, name: str, value: Tensor) -> fx.Node:
    own = edit.parameter if edge.owned else edit.common
    return own(name, value)


@torch.library.custom_op("lowbit::magnitude", mutates_args=())
def magnitude(size: Tensor, gradient: float) -> Tensor:
    """|size|, above zero. gradient: a factor of the gradient."""
    return size.abs().clamp_min(torch.finfo(size.dtype).tiny)


@magnitude.register_fake
def _(size: Tensor, gradient: float) -> Tensor:
    return torch.empty_like(size)


def _setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    size, ctx.factor = inputs
    ctx.save_for_backward(size)


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    (size,) = ctx.saved_tensors
    return torch.where(size < 0, -grad, grad) * ctx.factor, None


gradient(magnitude, _backward, _setup)


@torch.library.custom_op("lowbit::whole", mutates_args=())
def whole(exponent: Tensor) -> Tensor:
    """floor(x + 1/2); the gradient passes as if nothing had been rounded."""
    return torch.floor(exponent + 0.5)


@whole.register_fake
def _(exponent: Tensor) -> Tensor:
    return torch.empty_like(exponent)


def _straight(ctx: Any, grad: Tensor) -> Tensor:
    return grad


gradient(whole, _straight)


def trained(grid: fx.Node) -> str:
    """The name of the parameter that is a grid's scale alone; nothing for a scale that is given or computed."""
    node = arguments(grid)["scale"]
    if node.op == "get_attr":
        return ""
    while node.op == "call_function":
        node = next(iter(arguments(node).values()))
    name = str(node.target)
    return name if name.startswith((f"{OWN}.scales.", f"{OWN}.ranges.")) else ""


def value(grid: fx.Node, scale: Tensor) -> Tensor:
    """What the parameter must be for the grid to have that scale, or for a power of two one near it."""
    node = arguments(grid)["scale"]
    while node.op == "call_function":
        given = arguments(node)
        if node.target is _aten.exp2.default:
            scale = torch.log2(scale)
        elif node.target is _aten.div.Tensor:
            scale = scale * given["other"]
        node = next(iter(given.values()))
    return scale
