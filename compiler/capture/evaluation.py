"""The second graph: eval mode captured on its own, where it is more than flags on the training graph."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

from torch import fx, nn

from ..graph import Graph, origin
from .example import Example
from .traced import traced


def with_evaluation(graph: Graph, model: nn.Module, example: Example, leaves: Sequence[str]) -> Graph:
    """The training graph with a graph for eval mode, over the same tensors. The model must be in eval mode."""
    evaluation = traced(model, example, leaves)
    _name_alike(evaluation.fx, graph.fx)
    state = {**evaluation.state, **graph.state}
    return replace(graph, state=state, transient=graph.transient | evaluation.transient, evaluation=evaluation)


def _name_alike(graph: fx.Graph, other: fx.Graph) -> None:
    """Give each node the name of the node that does the same in the other graph.

    Passes name what they add by node, and a grid in both graphs has to be one grid.
    """
    theirs = _by_role(other)
    taken = {node.name for node in other.nodes}
    for role, nodes in _by_role(graph).items():
        for i, node in enumerate(nodes):
            twins = theirs.get(role, [])
            name = twins[i].name if i < len(twins) else _fresh(node.name, taken)
            node._rename(name)


def _fresh(name: str, taken: set[str]) -> str:
    while name in taken:
        name = f"{name}_eval"
    taken.add(name)
    return name


def _by_role(graph: fx.Graph) -> Mapping[tuple[str, ...], list[fx.Node]]:
    """The nodes by what they do and where the user wrote it."""
    roles: dict[tuple[str, ...], list[fx.Node]] = defaultdict(list)
    for node in graph.nodes:
        place = origin(node)
        if node.op != "output":
            roles[node.op, str(node.target), place.layer, place.source].append(node)
    return roles
