"""Calls that change no value in inference: dropout, copies."""

from __future__ import annotations

import torch

from ..lower import Lowering, Node
from ..real import Lowered

_aten = torch.ops.aten


def _build(node: Node) -> Lowered:
    if node.given.get("train"):
        raise node.unsupported("it is in training mode")
    value: Lowered = node.given["input" if "input" in node.given else "self"]
    return value


LOWERING = Lowering(
    frozenset({_aten.dropout.default, _aten.dropout_.default, _aten.clone.default, _aten.contiguous.default}),
    _build,
)
