"""Sums and averages over axes or windows: an integer sum whose scale is divided by the count; the next grid rounds.

Where windows differ in their count, at a border or as an adaptive pool cuts them, a matrix multiplies each by what
makes the counts equal: the least common multiple over its own.
"""

from __future__ import annotations

import math

import torch

from ....compiler.graph import shape
from ....compiler.operators import calls
from ..lower import Lowering, Node
from ..real import Lowered, Real, Stacked
from ..windows import Span, adaptive, matrix, pooled

_aten = torch.ops.aten
_SUMS = frozenset({_aten.sum.default, _aten.sum.dim_IntList})
_MEANS = frozenset({_aten.mean.default, _aten.mean.dim})
_ADAPTIVE = calls("adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d")
_POOLS = calls("avg_pool1d", "avg_pool2d", "avg_pool3d")
MOST = 2**22
"""Entries of a matrix of windows."""


def _build(node: Node) -> Lowered:
    given = node.given["self" if "self" in node.given else "input"]
    if isinstance(given, Stacked):
        return _of_stacked(node, given.value)
    x = node.real("self" if "self" in node.given else "input")
    if x.scale.size > 1:
        raise node.unsupported("its input has one scale a channel that no grid has rounded")
    if node.node.target in _SUMS | _MEANS:
        return _over_axes(node, x)
    sizes = node.builder[x.value].shape
    spans = adaptive(node, sizes) if node.node.target in _ADAPTIVE else pooled(node, sizes)
    if len(sizes) != len(spans) + 1:
        raise node.unsupported("its input is no batch of images")
    divisor = node.given.get("divisor_override")
    if not all(span.even for span in spans):
        return _by_matrix(node, x, spans, divisor)
    count = math.prod(span.kernel for span in spans)
    return _divided(x, _windows(node, x, spans), count, divisor or count)


def _over_axes(node: Node, x: Real) -> Real:
    rank = len(shape(node.node.all_input_nodes[0]))
    axes = sorted(dim % rank for dim in (node.given.get("dim") or range(rank)))
    if axes[0] == 0:
        raise node.unsupported("it sums over the batch")
    inner = tuple(axis - 1 for axis in axes)
    value = node.step("sum", x.value, axes=inner, keepdim=int(node.given.get("keepdim", False)))
    count = math.prod(node.builder[x.value].shape[axis] for axis in inner)
    return _reduced(node, x, value, count)


def _of_stacked(node: Node, x: Real) -> Real:
    """The sum or average over what stands in front of the batch."""
    if node.node.target not in _SUMS | _MEANS or node.given.get("dim") != [0] or node.given.get("keepdim"):
        raise node.unsupported("it reads tensors stacked in front of the batch, and does not sum them")
    count = node.builder[x.value].shape[0]
    value = node.step("sum", x.value, axes=(0,), keepdim=0)
    return _reduced(node, x, value, count)


def _reduced(node: Node, x: Real, value: int, count: int) -> Real:
    """The sum of so many terms, or their average."""
    return _divided(x, value, count, 1 if node.node.target in _SUMS else count)


def _divided(x: Real, value: int, terms: int, divisor: int) -> Real:
    """What the sum of so many terms stands for when it is divided."""
    return Real(value, x.scale / divisor, x.zero * terms, wide=True)


def _windows(node: Node, x: Real, spans: list[Span]) -> int:
    """The sums of windows that are all alike; those of three axes in two steps."""
    sizes = node.builder[x.value].shape
    if all(span.kernel == span.stride == 1 and not any(span.padding) for span in spans):
        return x.value
    if all(span.windows == ((0, span.size),) for span in spans):
        return node.step("sum", x.value, axes=tuple(range(1, len(sizes))), keepdim=1)
    channels, *rest = sizes
    outer, plane = spans[:-2], spans[-2:]
    if len(spans) == 1:
        plane = [Span(1, ((0, 1),), (1,)), *spans]
    folded = (channels * math.prod(rest[: len(outer)]), plane[0].size, plane[1].size)
    value = _plane(node, node.shaped(x.value, folded), plane, x.zero)
    if outer:
        places = len(plane[0].windows) * len(plane[1].windows)
        value = node.step("reshape", value, shape=(channels, rest[0], places))
        along = [*outer, Span(places, tuple((i, i + 1) for i in range(places)), (1,) * places)]
        value = _plane(node, value, along, x.zero * plane[0].kernel * plane[1].kernel)
    return node.shaped(value, (channels, *(len(span.windows) for span in spans)))


def _plane(node: Node, value: int, spans: list[Span], zero: int) -> int:
    down, across = spans
    return node.step(
        "sum_pool2d",
        value,
        kernel=(down.kernel, across.kernel),
        stride=(down.stride, across.stride),
        padding=(*down.padding, *across.padding),
        pad_value=zero,
    )


def _by_matrix(node: Node, x: Real, spans: list[Span], divisor: int | None) -> Real:
    """Each channel as a row, times the matrix of windows; what lies outside counts as zero."""
    channels = node.builder[x.value].shape[0]
    elements, places = (math.prod(sizes) for sizes in zip(*((s.size, len(s.windows)) for s in spans), strict=True))
    if elements * places > MOST:
        raise node.unsupported(f"its windows differ in their counts, and a matrix of them has more than {MOST} entries")
    weight, times = matrix(spans, divisor)
    flat = node.step("reshape", x.value, shape=(channels, elements))
    bias = node.builder.shared(-x.zero * weight.sum(axis=1))
    value = node.step("linear", flat, node.builder.shared(weight), bias)
    value = node.step("reshape", value, shape=(channels, *(len(span.windows) for span in spans)))
    return Real(value, x.scale / times, wide=True)


LOWERING = Lowering(_SUMS | _MEANS | _ADAPTIVE | _POOLS, _build)
