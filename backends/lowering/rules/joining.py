"""cat and stack: the integers of several tensors side by side, on the one grid that they share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from ....compiler.graph import shape
from ....compiler.operators import calls
from ..constants import codes_on, constant
from ..layouts import beside
from ..lower import Lowering, Node
from ..moving import joined, moved, sizes
from ..real import Laid, Lowered, Moved, Real, Stacked

_aten = torch.ops.aten


def _build(node: Node) -> Lowered:
    if any(isinstance(part, Laid) for part in node.given["tensors"]):
        axis = node.given.get("dim", 0) % len(shape(node.node))
        return beside(node, node.given["tensors"], axis, new=node.node.target is _aten.stack.default)
    grid = next((part for part in node.given["tensors"] if isinstance(part, Real)), None)
    parts = [_part(node, part, grid) for part in node.given["tensors"]]
    if node.node.target is _aten.stack.default and node.given["dim"] in (0, -1 - len(sizes(node))):
        return _stacked(node, parts)
    rank = len(node.shape) + 1
    axis = node.given.get("dim", 0) % rank - 1
    if axis < 0:
        raise node.unsupported("it joins batches")
    if node.node.target is _aten.stack.default:
        one = (*node.shape[:axis], 1, *node.shape[axis + 1 :])
        parts = [moved(part, lambda value: node.step("reshape", value, shape=one)) for part in parts]
    return joined(node, parts, axis)


def _stacked(node: Node, parts: Sequence[Real | Moved]) -> Stacked:
    """Tensors in front of the batch, to be summed."""
    one = (1, *sizes(node))
    whole = joined(node, [moved(part, lambda value: node.step("reshape", value, shape=one)) for part in parts], 0)
    if isinstance(whole, Moved):
        raise node.unsupported("it stacks values of several scales in front of the batch")
    return Stacked(whole)


def _part(node: Node, part: Lowered, grid: Real | None) -> Real | Moved:
    """One of the tensors; a constant, such as a class token, on the grid that it shares with the others."""
    if isinstance(part, (Real, Moved)):
        return part
    if isinstance(part, np.ndarray) and grid is not None and not grid.wide and grid.scale.size == 1:
        return replace(grid, value=constant(node, grid, codes_on(node, part.astype(np.float64), grid)))
    raise node.unsupported("it joins something that is no integer value")


LOWERING = Lowering(calls("cat", "concat", "concatenate", "stack"), _build)
