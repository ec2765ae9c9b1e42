"""Convolutions over one to three axes: integer weights times integers, the bias on the accumulator's own scale."""

from __future__ import annotations

from ....compiler.operators import CONVOLUTIONS, PADDED_IN_WORDS
from ..accumulate import codes_of, layer
from ..convolving import Geometry, convolved
from ..lower import Lowering, Node
from ..real import Lowered


def _build(node: Node) -> Lowered:
    if isinstance(node.given["padding"], str):
        fix = "add normalize to the recipe"
        raise node.unsupported(f"padding '{node.given['padding']}' is not given as numbers", fix)
    x, codes = node.on_grid("input"), codes_of(node)
    axes = codes.integers.ndim - 2
    if len(node.builder[x.value].shape) != axes + 1:
        raise node.unsupported("its input is no batch")
    padding = tuple((size, size) for size in node.numbers("padding", axes))
    geometry = Geometry(node.numbers("stride", axes), padding, node.numbers("dilation", axes), node.given["groups"])
    return layer(node, x, codes, 0, lambda weight, bias: convolved(node, x.value, bias, weight, geometry, x.zero))


LOWERING = Lowering(CONVOLUTIONS | PADDED_IN_WORDS, _build)
