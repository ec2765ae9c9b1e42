"""Calls that change no value in inference: dropout, copies, conversions to the type that a value has."""

from __future__ import annotations

import torch

from ....compiler.operators import CONVERSIONS
from ..lower import Lowering, Node
from ..real import Input, Lowered

_aten = torch.ops.aten


def _build(node: Node) -> Lowered:
    if node.given.get("train"):
        raise node.unsupported("it is in training mode")
    source, result = node.node.all_input_nodes[0].meta["val"], node.node.meta["val"]
    value: Lowered = node.given["input" if "input" in node.given else "self"]
    if source.dtype != result.dtype and not isinstance(value, Input):  # the grid behind it tells what an input is
        raise node.unsupported(f"it converts {source.dtype} to {result.dtype}")
    return value


LOWERING = Lowering(
    CONVERSIONS
    | frozenset({_aten.dropout.default, _aten.dropout_.default, _aten.clone.default, _aten.contiguous.default}),
    _build,
)
