"""cat and stack: the integers of several tensors side by side, on the one grid that they share."""

from __future__ import annotations

import torch

from ....compiler.operators import calls
from ..lower import Lowering, Node
from ..moving import joined, moved
from ..real import Lowered, Moved, Real

_aten = torch.ops.aten


def _build(node: Node) -> Lowered:
    parts = [_part(node, part) for part in node.given["tensors"]]
    rank = len(node.shape) + 1
    axis = node.given.get("dim", 0) % rank - 1
    if axis < 0:
        raise node.unsupported("it joins batches")
    if node.node.target is _aten.stack.default:
        one = (*node.shape[:axis], 1, *node.shape[axis + 1 :])
        parts = [moved(part, lambda value: node.step("reshape", value, shape=one)) for part in parts]
    return joined(node, parts, axis)


def _part(node: Node, part: Lowered) -> Real | Moved:
    if isinstance(part, (Real, Moved)):
        return part
    raise node.unsupported("it joins something that is no integer value")


LOWERING = Lowering(calls("cat", "concat", "concatenate", "stack"), _build)
