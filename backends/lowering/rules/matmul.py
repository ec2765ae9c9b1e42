"""matmul, bmm, mm: the product of two activations as matrices, or of one with a weight, into an accumulator."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ....compiler.operators import calls
from ..accumulate import layer
from ..lower import Lowering, Node
from ..moving import taken
from ..products import product
from ..real import Codes, Lowered, Real


def _build(node: Node) -> Lowered:
    second = "other" if "other" in node.given else "mat2"
    if isinstance(node.given[second], Codes):
        return _by_weight(node, node.given[second])
    a, b = node.on_grid("self"), node.on_grid(second)
    shapes = [node.builder[x.value].shape for x in (a, b)]
    if len(shapes[0]) != len(shapes[1]) or len(shapes[0]) < 2:
        raise node.unsupported("its operands have different numbers of axes")
    outer = np.broadcast_shapes(*(shape[:-2] for shape in shapes))
    order = (*range(len(outer)), len(outer) + 1, len(outer))
    turned = node.step("transpose", _spread(node, b.value, outer), axes=order)
    if node.shape[-1] != shapes[1][-1]:
        raise node.unsupported("its operands have different numbers of axes")
    a = replace(a, value=_spread(node, a.value, outer))
    return product(node, a, replace(b, value=turned), "matmul", shapes[0][-1])


def _by_weight(node: Node, codes: Codes) -> Real:
    """x @ w, as a linear layer of the weight turned around."""
    if codes.integers.ndim != 2 or codes.zero:
        raise node.unsupported("its weight is no matrix, or has a zero point")
    turned = replace(codes, integers=codes.integers.T, axis=1 - codes.axis)
    x, axis = node.on_grid("self"), len(node.shape) - 1
    return layer(node, x, turned, axis, lambda w, bias: node.step("linear", x.value, node.builder.shared(w), bias))


def _spread(node: Node, value: int, outer: tuple[int, ...]) -> int:
    """The value with those leading sizes, where it has size 1."""
    for axis, size in enumerate(outer):
        if node.builder[value].shape[axis] != size:
            value = taken(node, value, axis, [0] * size)
    return value


LOWERING = Lowering(calls("matmul", "bmm", "mm"), _build, along=2)
