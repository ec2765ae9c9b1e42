"""conv2d: integer weights times integers, the bias on the accumulator's own scale."""

from __future__ import annotations

import torch

from ..accumulate import accumulator
from ..lower import Lowering, Node
from ..real import Lowered, Real


def _build(node: Node) -> Lowered:
    given = node.given
    if isinstance(given["padding"], str):
        raise node.unsupported(f"padding '{given['padding']}' is not given as numbers")
    x = node.on_grid("input")
    weight, bias, scale, rest = accumulator(node, x)
    (height, width), zero = node.pair("padding"), x.zero
    value = node.step(
        "conv2d",
        x.value,
        node.builder.shared(weight),
        node.builder.shared(bias),
        stride=node.pair("stride"),
        padding=(height, height, width, width),
        dilation=node.pair("dilation"),
        groups=given["groups"],
        pad_value=zero,
    )
    return Real(value, scale, axis=0, wide=True, rest=rest)


LOWERING = Lowering(frozenset({torch.ops.aten.conv2d.default, torch.ops.aten.conv2d.padding}), _build)
