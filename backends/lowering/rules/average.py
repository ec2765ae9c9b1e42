"""Averages over windows or axes: an integer sum whose scale is divided by the count; the next grid rounds."""

from __future__ import annotations

import math

import torch

from ....compiler.graph import shape
from ..lower import Lowering, Node
from ..real import Lowered, Real

_aten = torch.ops.aten


def _build(node: Node) -> Lowered:
    x = node.on_grid("self" if "self" in node.given else "input")
    if node.node.target is _aten.mean.dim:
        return _over_axes(node, x, node.given["dim"], node.given["keepdim"])
    if node.node.target is _aten.adaptive_avg_pool2d.default:
        return _adaptive(node, x)
    kernel, padding = node.pair("kernel_size"), node.pair("padding")
    if node.given["ceil_mode"] or node.given["divisor_override"] is not None:
        raise node.unsupported("ceil_mode or divisor_override is set")
    if any(padding) and not node.given["count_include_pad"]:
        raise node.unsupported("its padding does not count, so windows have different divisors")
    return _windows(node, x, kernel, node.pair("stride"), padding)


def _adaptive(node: Node, x: Real) -> Real:
    sizes, wanted = node.builder[x.value].shape[-2:], node.pair("output_size")
    if wanted == (1, 1):
        return _over_axes(node, x, [-2, -1], True)
    if any(size % out for size, out in zip(sizes, wanted, strict=True)):
        raise node.unsupported(f"output {wanted} does not divide input {sizes}, so windows differ in size")
    kernel = (sizes[0] // wanted[0], sizes[1] // wanted[1])
    return _windows(node, x, kernel, kernel, (0, 0))


def _windows(node: Node, x: Real, kernel: tuple[int, int], stride: tuple[int, int], padding: tuple[int, int]) -> Real:
    border = (padding[0], padding[0], padding[1], padding[1])
    value = node.step("sum_pool2d", x.value, kernel=kernel, stride=stride, padding=border, pad_value=x.zero)
    return _divided(x, value, math.prod(kernel))


def _over_axes(node: Node, x: Real, dims: list[int] | None, keepdim: bool) -> Real:
    rank = len(shape(node.node.all_input_nodes[0]))
    axes = sorted(dim % rank for dim in (dims or range(rank)))
    if axes[0] == 0:
        raise node.unsupported("it averages over the batch")
    inner = tuple(axis - 1 for axis in axes)
    value = node.step("sum", x.value, axes=inner, keepdim=int(keepdim))
    return _divided(x, value, math.prod(node.builder[x.value].shape[axis] for axis in inner))


def _divided(x: Real, value: int, count: int) -> Real:
    return Real(value, x.scale / count, x.zero * count, wide=True)


LOWERING = Lowering(
    frozenset({_aten.avg_pool2d.default, _aten.adaptive_avg_pool2d.default, _aten.mean.dim}),
    _build,
)
