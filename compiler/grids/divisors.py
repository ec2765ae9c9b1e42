"""Divisors: values that others are divided by. No grid of theirs has a zero: in integers none is below one step."""

from __future__ import annotations

from torch import fx

from ..graph import Graph, arguments
from ..operators import ADDITIONS, SCALINGS, aten
from .sharing import carried, readers

_QUOTIENTS = SCALINGS - {aten.mul.Tensor, aten.mul_.Tensor}
SMALL = 1e-3
"""The most that is added for nothing but that a divisor be no zero."""


def divisors(graph: Graph) -> set[fx.Node]:
    """The values that others are divided by, and that are read for nothing else."""
    found: set[fx.Node] = set()
    for node in reversed(graph.nodes):
        given = readers(node)
        if given and all(_divides(reader, node) or (reader in found and carried(reader)) for reader in given):
            found.add(node)
    return found


def guards_a_division(node: fx.Node) -> bool:
    """Whether it adds a number so small that who divides by the sum takes the other term to be never negative."""
    given = arguments(node) if node.target in ADDITIONS else {}
    small = isinstance(given.get("other"), float) and 0 < given["other"] <= SMALL
    return small and bool(found := readers(node)) and all(_divides(reader, node) for reader in found)


def _divides(reader: fx.Node, node: fx.Node) -> bool:
    given = arguments(reader) if reader.target in _QUOTIENTS else {}
    return bool(given) and given["other"] is node and given["self"] is not node
