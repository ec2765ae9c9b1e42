"""The second graph: eval mode captured on its own, where it is more than flags on the training graph."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from torch import fx, nn

from ..graph import Graph, origin
from .example import Example
from .traced import Wanted, traced


def with_evaluation(graph: Graph, model: nn.Module, example: Example, wanted: Wanted) -> Graph:
    """The training graph with a graph for eval mode, over the same tensors. The model must be in eval mode."""
    evaluation, _ = traced(model, example, wanted)
    _name_alike(evaluation.fx, graph.fx)
    evaluation, _ = evaluation.copy()  # whose names fx has registered
    evaluation = _apart(evaluation, graph)
    state = {**evaluation.state, **graph.state}
    transient = graph.transient | evaluation.transient
    return replace(graph, state=state, transient=transient, evaluation=replace(evaluation, state={}))


def _apart(graph: Graph, other: Graph) -> Graph:
    """The graph with other names for tensors that are not those of the other graph: constants, which torch numbers."""
    names = {
        name: f"{name}_eval" if other.state.get(name, tensor) is not tensor else name
        for name, tensor in graph.state.items()
    }
    for node in graph.fx.find_nodes(op="get_attr"):
        node.target = names[node.target]
    state = {names[name]: tensor for name, tensor in graph.state.items()}
    return replace(graph, state=state, transient=frozenset(names.get(name, name) for name in graph.transient))


def _name_alike(graph: fx.Graph, other: fx.Graph) -> None:
    """Give each node the name of the node that does the same in the other graph, preferably on the same line.

    Passes name what they add by node, and a grid in both graphs has to be one grid.
    """
    free = {node.name: node for node in other.nodes}
    names: dict[fx.Node, str] = {}
    for role in (_exact_role, _role):
        theirs = _by(role, free.values())
        for key, nodes in _by(role, (node for node in graph.nodes if node not in names)).items():
            for node, twin in zip(nodes, theirs.get(key, ()), strict=False):
                names[node] = free.pop(twin.name).name
    taken = {node.name for node in other.nodes}
    for node in graph.nodes:
        node.name = names.get(node) or _fresh(node.name, taken)


def _fresh(name: str, taken: set[str]) -> str:
    while name in taken:
        name = f"{name}_eval"
    taken.add(name)
    return name


def _role(node: fx.Node) -> tuple[str, ...]:
    """What the node does, and in which module."""
    return node.op, str(node.target), origin(node).layer


def _exact_role(node: fx.Node) -> tuple[str, ...]:
    """The same, and on which line the user wrote it."""
    return *_role(node), origin(node).source


def _by(role: Callable[[fx.Node], tuple[str, ...]], nodes: Iterable[fx.Node]) -> Mapping[Any, list[fx.Node]]:
    found: dict[Any, list[fx.Node]] = defaultdict(list)
    for node in nodes:
        found[role(node)].append(node)
    return found
