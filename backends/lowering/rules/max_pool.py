"""Maximum pools over one to three axes: the maximum of integers, on the grid of their input."""

from __future__ import annotations

from dataclasses import replace

from ....compiler.operators import MAX_POOLS
from ..lower import Lowering, Node
from ..real import Lowered

_Axis = tuple[int, int, int, int, int]
"""Kernel, stride, padding in front and behind, and dilation along an axis."""
_STILL: _Axis = (1, 1, 0, 0, 1)


def _build(node: Node) -> Lowered:
    x = node.real("self")
    if x.scale.size > 1 and x.axis != 0:
        raise node.unsupported("its input has one scale a column, and a window would compare several")
    x = x if x.axis == 0 else replace(x, rest=None)
    channels, *sizes = node.builder[x.value].shape
    if len(sizes) != _axes(node):
        raise node.unsupported("its input is no batch")
    spans = _spans(node, sizes)
    while len(spans) < 2:
        spans.insert(0, _STILL)
        sizes.insert(0, 1)
    value = x.value
    outer = sizes[:-2]
    value = node.shaped(value, (channels * (outer[0] if outer else 1), *sizes[-2:]))
    value = _pooled(node, value, spans[-2:])
    if outer:  # the maximum of maxima: first of each frame, then of several
        frame = node.builder[value].shape[1] * node.builder[value].shape[2]
        value = _pooled(node, node.shaped(value, (channels, outer[0], frame)), [spans[0], _STILL])
    return replace(x, value=node.shaped(value, node.shape))


def _axes(node: Node) -> int:
    return int(str(node.node.target).partition("max_pool")[2][0])


def _spans(node: Node, sizes: list[int]) -> list[_Axis]:
    """With `ceil_mode` a last window reaches beyond the border, where nothing counts."""
    names = ("kernel_size", "stride", "padding", "dilation")
    given = zip(*(node.numbers(name, len(sizes)) for name in names), sizes, node.shape[1:], strict=True)
    return [(k, s, p, max(p, (out - 1) * s + d * (k - 1) + 1 - n - p), d) for k, s, p, d, n, out in given]


def _pooled(node: Node, value: int, spans: list[_Axis]) -> int:
    kernel, stride, front, behind, dilation = zip(*spans, strict=True)
    padding = (front[0], behind[0], front[1], behind[1])
    return node.step("max_pool2d", value, kernel=kernel, stride=stride, padding=padding, dilation=dilation)


LOWERING = Lowering(MAX_POOLS, _build)
