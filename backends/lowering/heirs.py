"""Heirs: which call of a graph that passes made computes what a call of the graph before them did."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import replace

from torch import fx

from ...compiler.graph import Graph, origin, stamp
from ...compiler.operators import GRIDS

_MARK = "captured:"


def marked(graph: Graph) -> Graph:
    """The graph, its nodes numbered in their trails, which the nodes that passes make of them inherit."""
    copied, _ = graph.copy()
    if copied.evaluation is not None:
        copied = replace(copied, evaluation=marked(copied.evaluation))
    for number, node in enumerate(copied.nodes):
        if node.op != "output":
            stamp(node, replace(origin(node), trail=(f"{_MARK}{number}",)), node.meta["val"])
    return copied


def mark(node: fx.Node) -> str:
    """The number of a node in the marked graph, or of the one that it was made of; "" without."""
    return next((word for word in origin(node).trail if word.startswith(_MARK)), "")


def heirs(captured: Graph, deployed: Graph) -> Mapping[fx.Node, fx.Node]:
    """Captured call -> the call of the deployed graph that computes it: itself, or what a rule put in its place.

    captured: marked.   A rule stamps what it makes with its root, which may be another call than the one that lives on:
    a convolution that took in a batch norm comes from the norm.
    """
    origins = {mark(node): node for node in captured.nodes}
    kept = {(node.name, node.target, mark(node)): node for node in deployed.nodes}
    found = {node: kept[key] for node in captured.nodes if (key := (node.name, node.target, mark(node))) in kept}
    alive, fixed = set(found.values()), deployed.constants()
    calls = [n for n in deployed.nodes if n.op == "call_function" and n not in fixed and mark(n) in origins]
    for made in calls:
        if made not in alive and (ancestor := _gone(origins[mark(made)], made, found)) is not None:
            found[ancestor] = made
            alive.add(made)
    for made in calls:
        if made not in alive and made.target not in GRIDS:  # another call now computes what the root did
            found.setdefault(origins[mark(made)], made)
    return found


def _gone(root: fx.Node, made: fx.Node, found: Mapping[fx.Node, fx.Node]) -> fx.Node | None:
    """The nearest call above a rule's root, or that itself, that does the same and did not live on."""
    queue, seen = deque([root]), {root}
    while queue:
        node = queue.popleft()
        if node.target is made.target and node not in found:
            return node
        above = [n for n in node.all_input_nodes if n not in seen and n not in found and n.op == "call_function"]
        queue.extend(above)
        seen.update(above)
    return None
