"""relu: nothing at all where the grid behind it begins at zero, else a clamp at the zero point."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import fx

from ....compiler.graph import arguments
from ..curves import curve
from ..lower import Lowering, Node
from ..real import Curve, Limited, Lowered, Moved, Quotient, Sum

_GRID = torch.ops.lowbit.fake_quantize.default
_UPWARDS = frozenset(
    {torch.ops.aten.max_pool2d.default, torch.ops.aten.clamp_max.default, torch.ops.aten.clamp_max.Tensor}
)
"""Calls that give zero for what lies below zero, if they are given zero for it, and change no order."""


def _build(node: Node) -> Lowered:
    if _saturates_at_zero(node.node):
        return node.given["self"]  # type: ignore[no-any-return]
    if isinstance(node.given["self"], Curve):
        return curve(node)
    if isinstance(node.given["self"], (Sum, Quotient, Moved)):
        if all(reader.target is _GRID for reader in node.node.users):
            return Limited(node.given["self"], 0.0, None)
        raise node.unsupported("it reads sums that are not rounded yet, and is read by something other than grids")
    x = node.real("self")
    top = max(node.builder[x.value].range.hi, x.zero)
    return replace(x, value=node.step("clamp", x.value, lo=x.zero, hi=top))


def _saturates_at_zero(node: fx.Node) -> bool:
    """Whether the only reader, behind maxima and limits perhaps, is a grid whose least value stands for zero."""
    while len(node.users) == 1:
        (reader,) = node.users
        if reader.target is _GRID:
            grid = arguments(reader)
            return bool(grid["lo"] >= grid["zero"])
        if reader.target not in _UPWARDS:
            return False
        node = reader
    return False


LOWERING = Lowering(frozenset({torch.ops.aten.relu.default, torch.ops.aten.relu_.default}), _build, along=0)
