"""linear: integer weights times the last axis, the bias on the accumulator's own scale."""

from __future__ import annotations

import torch

from ..accumulate import accumulator, codes_of
from ..lower import Lowering, Node
from ..real import Lowered, Real


def _build(node: Node) -> Lowered:
    x = node.on_grid("input")
    weight, bias, scale, rest = accumulator(node, x, codes_of(node))
    value = node.step("linear", x.value, node.builder.shared(weight), node.builder.shared(bias))
    return Real(value, scale, axis=len(node.shape) - 1, wide=True, rest=rest)


LOWERING = Lowering(frozenset({torch.ops.aten.linear.default}), _build)
