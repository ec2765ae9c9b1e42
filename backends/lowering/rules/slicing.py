"""slice, narrow, select and index_select: some of the integers of every sample, on the same grid."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ....compiler.graph import shape
from ..layouts import elsewhere, some
from ..lower import Lowering, Node
from ..moving import movable, moved, sizes, taken
from ..real import Lowered

_aten = torch.ops.aten


def _build(node: Node) -> Lowered:
    if elsewhere(node):
        return _elsewhere(node)
    x, old = movable(node, "self"), sizes(node)
    axis = node.given["dim"] % (len(old) + 1) - 1
    if axis < 0 and node.shape == old and node.node.target is not _aten.select.int:
        return x
    if axis < 0:
        raise node.unsupported("it takes some of the batch")
    places = _places(node, old[axis])
    if not places:
        raise node.unsupported("it takes nothing")
    if list(places) == [*range(old[axis])] and node.shape == old:
        return x

    def move(value: int) -> int:
        return node.shaped(taken(node, value, axis, places), node.shape)

    return moved(x, move)


def _elsewhere(node: Node) -> Lowered:
    sizes = shape(node.node.all_input_nodes[0])
    axis = node.given["dim"] % len(sizes)
    if not isinstance(sizes[axis], int):
        if node.node.target is _aten.slice.Tensor and str(sizes) == str(shape(node.node)):
            return node.given["self"]  # type: ignore[no-any-return]
        raise node.unsupported("it takes some of the batch")
    return some(node, axis, _places(node, sizes[axis]), node.node.target is _aten.select.int)


def _places(node: Node, size: int) -> Sequence[int]:
    match node.node.target:
        case _aten.slice.Tensor:
            return range(*slice(node.given["start"], node.given["end"], node.given["step"]).indices(size))
        case _aten.narrow.default:
            start = node.given["start"] % size
            return range(start, start + node.given["length"])
        case _aten.select.int:
            return [node.given["index"] % size]
    places = node.floats("index")
    return [] if places is None else [int(place) for place in places.reshape(-1)]


LOWERING = Lowering(
    frozenset({_aten.slice.Tensor, _aten.narrow.default, _aten.select.int, _aten.index_select.default}), _build
)
