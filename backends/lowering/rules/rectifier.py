"""relu: nothing at all where the grid behind it begins at zero, else a clamp at the zero point."""

from __future__ import annotations

import torch

from ....compiler.graph import arguments
from ..lower import Lowering, Node
from ..real import Lowered, Sum


def _build(node: Node) -> Lowered:
    readers = list(node.node.users)
    if len(readers) == 1 and readers[0].target is torch.ops.lowbit.fake_quantize.default:
        grid = arguments(readers[0])
        if grid["lo"] >= grid["zero"]:
            return node.given["self"]  # type: ignore[no-any-return]  # saturation at lo is the rectifier
    if isinstance(node.given["self"], Sum):
        raise node.unsupported("it reads a sum, and is read by something other than one unsigned grid")
    x = node.real("self")
    top = max(node.builder[x.value].range.hi, x.zero)
    return type(x)(node.step("clamp", x.value, lo=x.zero, hi=top), x.scale, x.zero, x.axis)


LOWERING = Lowering(frozenset({torch.ops.aten.relu.default, torch.ops.aten.relu_.default}), _build)
