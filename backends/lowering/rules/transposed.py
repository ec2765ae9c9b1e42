"""Transposed convolutions: convolutions of an input with zeros between its elements, by the kernel turned around.

    y[o, j] = bias[o] + sum over c, k of w[c, o, k] x[c, (j + p - d k) / s]        for those k that s divides

is a convolution of stride 1 and dilation d over z, z[s i] = x[i] and else zero, with d (K - 1) - p zeros in front and
d (K - 1) - p + output_padding behind; where these are less than nothing, z is cut.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ....compiler.operators import TRANSPOSED
from ..accumulate import codes_of, layer
from ..convolving import Geometry, convolved
from ..lower import Lowering, Node
from ..moving import cut
from ..real import Codes, Lowered


def _build(node: Node) -> Lowered:
    x, groups = node.on_grid("input"), node.given["groups"]
    codes = _turned(node, codes_of(node), groups)
    kernel = codes.integers.shape[2:]
    axes = len(kernel)
    if len(node.builder[x.value].shape) != axes + 1:
        raise node.unsupported("its input is no batch")
    stride, dilation = node.numbers("stride", axes), node.numbers("dilation", axes)
    given = zip(
        kernel, stride, node.numbers("padding", axes), dilation, node.numbers("output_padding", axes), strict=True
    )
    borders = [(d * (k - 1) - p, d * (k - 1) - p + more - (s - 1)) for k, s, p, d, more in given]
    value = x.value
    for axis, (apart, border) in enumerate(zip(stride, borders, strict=True), 1):
        value = _cut(node, _spread(node, value, axis, apart, x.zero), axis, border)
    padding = tuple((max(0, front), max(0, behind)) for front, behind in borders)
    geometry = Geometry((1,) * axes, padding, dilation, groups)
    return layer(node, x, codes, 0, lambda weight, bias: convolved(node, value, bias, weight, geometry, x.zero))


def _turned(node: Node, codes: Codes, groups: int) -> Codes:
    """The weight (inputs, outputs / groups, *kernel) as (outputs, inputs / groups, *kernel), each kernel backwards."""
    if codes.scale.size > 1 and (codes.axis != 1 or groups > 1):
        raise node.unsupported("its scales do not lie along the output channels")
    w = codes.integers
    parts = w.reshape(groups, w.shape[0] // groups, *w.shape[1:]).swapaxes(1, 2)
    turned = np.flip(parts.reshape(-1, *parts.shape[2:]), tuple(range(2, w.ndim)))
    return replace(codes, integers=turned, axis=0)


def _spread(node: Node, value: int, axis: int, apart: int, zero: int) -> int:
    """Zeros behind each element along an axis, so many that the elements are that far apart."""
    if apart == 1:
        return value
    shape = node.builder[value].shape
    rows = (int(np.prod(shape[: axis + 1])), 1, int(np.prod(shape[axis + 1 :])))
    value = node.step("reshape", value, shape=rows)
    value = node.step("pad2d", value, padding=(0, apart - 1, 0, 0), pad_value=zero)
    return node.step("reshape", value, shape=(*shape[:axis], shape[axis] * apart, *shape[axis + 1 :]))


def _cut(node: Node, value: int, axis: int, border: tuple[int, int]) -> int:
    front, behind = border
    return cut(node, value, axis, max(0, -front), node.builder[value].shape[axis] + min(0, behind))


LOWERING = Lowering(TRANSPOSED, _build)
