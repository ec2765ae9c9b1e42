"""chunk, split and unbind: parts of a tensor along an axis, of which only those that are read become steps."""

from __future__ import annotations

from itertools import pairwise

import torch

from ....compiler.operators import calls
from ..lower import Lowering, Node
from ..moving import movable, sizes
from ..real import Lowered, Pieces

_aten = torch.ops.aten


def _build(node: Node) -> Lowered:
    x, old = movable(node, "self"), sizes(node)
    axis = node.given["dim"] % (len(old) + 1) - 1
    if axis < 0:
        raise node.unsupported("it splits the batch")
    if node.node.target is _aten.unbind.int:
        return Pieces(x, axis, tuple((i, i + 1) for i in range(old[axis])), drops=True)
    ends = [0]
    for part in node.node.meta["val"]:
        ends.append(ends[-1] + int(part.shape[axis + 1]))
    return Pieces(x, axis, tuple(pairwise(ends)))


LOWERING = Lowering(calls("chunk", "split", "split_with_sizes", "tensor_split", "unbind"), _build)
