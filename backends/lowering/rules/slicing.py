"""slice and narrow: some of the integers of every image, on the same grid."""

from __future__ import annotations

import torch

from ..lower import Lowering, Node
from ..real import Lowered, Real

_aten = torch.ops.aten


def _build(node: Node) -> Lowered:
    x = node.on_grid("self")
    sizes = node.builder[x.value].shape
    axis = node.given["dim"] % (len(sizes) + 1) - 1
    if node.shape == sizes:
        return x
    if axis < 0:
        raise node.unsupported("it takes some of the batch")
    if not node.shape[axis]:
        raise node.unsupported("it takes nothing")
    first, step = _place(node, sizes[axis])
    start, steps = [0] * len(sizes), [1] * len(sizes)
    start[axis], steps[axis] = first, step
    stop = list(sizes)
    stop[axis] = first + step * (node.shape[axis] - 1) + 1
    value = node.step("slice", x.value, start=tuple(start), stop=tuple(stop), step=tuple(steps))
    return Real(value, x.scale, x.zero)


def _place(node: Node, size: int) -> tuple[int, int]:
    """The first element and the distance to the next; a negative start counts from the end."""
    start = node.given["start"] or 0
    return max(0, start + size) if start < 0 else start, node.given.get("step", 1)


LOWERING = Lowering(frozenset({_aten.slice.Tensor, _aten.narrow.default}), _build)
