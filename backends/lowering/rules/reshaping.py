"""view, reshape, flatten and their kin: the same integers in another shape."""

from __future__ import annotations

from ....compiler.operators import RESHAPES, calls
from ..layouts import elsewhere, reshaped
from ..lower import Lowering, Node
from ..moving import movable, moved, sizes
from ..real import Lowered


def _build(node: Node) -> Lowered:
    if elsewhere(node):
        return reshaped(node)
    x, new = movable(node, "self"), node.shape
    return x if new == sizes(node) else moved(x, lambda value: node.step("reshape", value, shape=new))


LOWERING = Lowering(RESHAPES | calls("unflatten", "_unsafe_view", "view_as", "reshape_as", "squeeze"), _build)
