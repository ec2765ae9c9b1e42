"""linear: integer weights times the last axis, the bias on the accumulator's own scale."""

from __future__ import annotations

import torch

from ..accumulate import codes_of, layer
from ..lower import Lowering, Node
from ..real import Lowered


def _build(node: Node) -> Lowered:
    x = node.on_grid("input")
    axis = len(node.shape) - 1
    return layer(
        node, x, codes_of(node), axis, lambda w, bias: node.step("linear", x.value, node.builder.shared(w), bias)
    )


LOWERING = Lowering(frozenset({torch.ops.aten.linear.default}), _build, along=1)
