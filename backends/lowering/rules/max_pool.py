"""max_pool2d: the maximum of integers, on the grid of its input."""

from __future__ import annotations

from dataclasses import replace

import torch

from ..lower import Lowering, Node
from ..real import Lowered


def _build(node: Node) -> Lowered:
    x, given = node.real("self"), node.given
    if given["ceil_mode"]:
        raise node.unsupported("ceil_mode is set")
    if x.scale.size > 1 and x.axis != 0:
        raise node.unsupported("its input has one scale a column, and a window would compare several")
    kernel, padding = node.pair("kernel_size"), node.pair("padding")
    value = node.step(
        "max_pool2d",
        x.value,
        kernel=kernel,
        stride=node.pair("stride"),
        padding=(padding[0], padding[0], padding[1], padding[1]),
        dilation=node.pair("dilation"),
    )
    return replace(x, value=value)


LOWERING = Lowering(frozenset({torch.ops.aten.max_pool2d.default}), _build)
