"""chunk, split and unbind: parts of a tensor along an axis, of which only those that are read become steps."""

from __future__ import annotations

from itertools import pairwise

import torch

from ....compiler.graph import shape
from ....compiler.operators import calls
from ..layouts import elsewhere, several
from ..lower import Lowering, Node
from ..moving import movable, sizes
from ..real import Lowered, Pieces

_aten = torch.ops.aten


def _build(node: Node) -> Lowered:
    if elsewhere(node):
        axis = node.given["dim"] % len(shape(node.node.all_input_nodes[0]))
        return several(node, axis, _cuts(node, axis), node.node.target is _aten.unbind.int)
    x, old = movable(node, "self"), sizes(node)
    axis = node.given["dim"] % (len(old) + 1) - 1
    if axis < 0:
        raise node.unsupported("it splits the batch")
    return Pieces(x, axis, _cuts(node, axis + 1), drops=node.node.target is _aten.unbind.int)


def _cuts(node: Node, axis: int) -> tuple[tuple[int, int], ...]:
    """(start, stop) of each part along an axis of the graph."""
    parts = node.node.meta["val"]
    if node.node.target is _aten.unbind.int:
        return tuple((i, i + 1) for i in range(len(parts)))
    ends = [0]
    for part in parts:
        ends.append(ends[-1] + int(part.shape[axis]))
    return tuple(pairwise(ends))


LOWERING = Lowering(calls("chunk", "split", "split_with_sizes", "tensor_split", "unbind"), _build)
