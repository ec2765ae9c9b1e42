"""Sharing: which values must lie on one grid, as connected components over the calls that only pass values on."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Set
from dataclasses import dataclass
from typing import Any

import networkx as nx
import torch
from torch import fx

from ..graph import Graph, arguments
from ..operators import CARRIERS, JOINS, LISTS, PADS, READ_SIZES


def floating(node: Any) -> bool:
    """Whether the node's value is a tensor of real numbers, or a list in which there are some."""
    value = node.meta.get("val") if isinstance(node, fx.Node) else None
    parts = value if isinstance(value, (list, tuple)) else [value]
    return any(isinstance(part, torch.Tensor) and part.is_floating_point() for part in parts)


def readers(node: fx.Node) -> list[fx.Node]:
    """The nodes that read the values of a tensor, not its size alone; the output is one of them."""
    return [
        reader
        for reader in node.users
        if reader.op == "output" or (reader.target not in READ_SIZES and _is_data(reader.meta["val"]))
    ]


def _is_data(value: Any) -> bool:
    return isinstance(value, (torch.Tensor, list, tuple))


def carried(node: fx.Node) -> list[fx.Node]:
    """The operands among whose values are all those of the node; none where it computes new ones."""
    if node.op != "call_function" or not floating(node):
        return []
    if node.target is operator.getitem:
        taken: Any = node.args[0]
        return [taken] if taken.target in LISTS else []
    if node.target in JOINS:
        return [operand for operand in node.all_input_nodes if floating(operand)]
    return [] if node.target not in CARRIERS or bordered(node) else _first(node)


def bordered(node: fx.Node) -> list[fx.Node]:
    """What stands inside of a border of one number, which the grid of that need not have; none of other calls."""
    if node.op != "call_function" or node.target not in PADS or not floating(node):
        return []
    given = arguments(node)
    fill = given.get("value") if given.get("mode", "constant") == "constant" else None
    return _first(node) if fill and math.isfinite(fill) else []


def _first(node: fx.Node) -> list[fx.Node]:
    first = node.args[0] if node.args else next(iter(arguments(node).values()))
    return [first] if isinstance(first, fx.Node) and floating(first) else []


@dataclass(frozen=True)
class Group:
    """Values that must lie on one grid. sources: those that are computed, in graph order.   carriers: the others."""

    sources: tuple[fx.Node, ...]
    carriers: frozenset[fx.Node]


def groups(
    graph: Graph, alone: Set[fx.Node] = frozenset(), ties: Iterable[tuple[fx.Node, fx.Node]] = ()
) -> list[Group]:
    """All values of a graph, in groups that must lie on one grid, in the order of their first sources.

    alone: carriers that pass nothing on, since no grid is in front of them.   ties: further pairs for one grid.
    """
    passed = nx.Graph()
    place = {node: i for i, node in enumerate(graph.nodes) if node.op != "output"}
    passed.add_nodes_from(place)
    passed.add_edges_from(ties)
    carriers = set()
    for node in place:
        if node not in alone and (operands := carried(node)):
            carriers.add(node)
            passed.add_edges_from((node, operand) for operand in operands)
    found = [
        Group(tuple(sorted(part - carriers, key=place.__getitem__)), frozenset(part & carriers))
        for part in nx.connected_components(passed)
    ]
    return sorted(found, key=lambda group: place[group.sources[0]])
