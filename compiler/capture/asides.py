"""For the comparison with the module: a graph that draws as the module does, although it computes both sides."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, fx

from ..graph import Graph, is_effect, is_random
from .merged import is_choice

Path = tuple[tuple[fx.Node, bool], ...]
"""What must have been decided, and how, for a call to be on the side that is taken: the outermost decision first."""


def holds_both_sides(graph: Graph) -> bool:
    """Whether capture put both sides of a branch in the graph."""
    return any(is_choice(node) for node in graph.fx.nodes)


def drawing_alike(graph: Graph) -> Graph:
    """The same graph, except that draws on a side that is not taken leave the random numbers as they were.

    At one seed it computes what the module does; the graph itself has drawn more by then.
    """
    if not holds_both_sides(graph):
        return graph
    graph, _ = graph.copy()
    paths = _paths(graph)
    for node in graph.nodes:
        path = tuple(step for step in paths.get(node, ()) if step[0] < node)
        if path and is_random(node):
            target: Any = node.target
            node.target = _aside(target, [taken for _, taken in path])
            node.args = ([chosen for chosen, _ in path], *node.args)
    return graph


def _paths(graph: Graph) -> dict[fx.Node, Path]:
    """Node -> when somebody reads it."""
    paths: dict[fx.Node, Path] = {}
    for node in reversed(graph.nodes):
        path = () if node.op == "output" or is_effect(node) else paths.get(node, ())
        reads = [(operand, path) for operand in node.all_input_nodes]
        if is_choice(node):
            chosen, *sides = node.all_input_nodes
            reads = [(chosen, path), *((x, (*path, (chosen, i == 0))) for i, x in enumerate(sides))]
        for operand, found in reads:
            paths[operand] = _common(paths.get(operand, found), found)
    return paths


def _common(a: Path, b: Path) -> Path:
    """What two paths begin with."""
    count = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    return a[:count]


def _aside(draw: Callable[..., Any], wanted: Sequence[bool]) -> Callable[..., Any]:
    def drawn_aside(chosen: Sequence[Tensor], *args: Any, **kwargs: Any) -> Any:
        taken = all(bool(x) == y for x, y in zip(chosen, wanted, strict=True))
        with contextlib.nullcontext() if taken else torch.random.fork_rng(devices=[]):
            return draw(*args, **kwargs)

    return drawn_aside
