"""The pick of one of several results of a call."""

from __future__ import annotations

import operator

from ..lower import Lowering, Node
from ..moving import cut, moved
from ..real import Lowered, Pieces, Several


def _build(node: Node) -> Lowered:
    pieces = node.given["self"]
    if isinstance(pieces, Several):
        part: Lowered = pieces.parts[node.given["index"]]
        return part
    if not isinstance(pieces, Pieces):
        raise node.unsupported("it picks from something other than parts of a tensor")
    start, stop = pieces.cuts[node.given["index"]]

    def move(value: int) -> int:
        value = cut(node, value, pieces.axis, start, stop)
        shape = list(node.builder[value].shape)
        del shape[pieces.axis]
        return node.step("reshape", value, shape=tuple(shape)) if pieces.drops else value

    return moved(pieces.value, move)


LOWERING = Lowering(frozenset({operator.getitem}), _build)
