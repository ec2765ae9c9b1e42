"""Dataless values: what depends on the sizes of inputs, not on their numbers, such as noise, masks and places."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, fx

from .graph import Graph
from .operators import READ_SIZES


def dataless(graph: Graph) -> set[fx.Node]:
    """The calls that no number of an input reaches; constants are among them."""
    reached: set[fx.Node] = set()
    for node in graph.nodes:
        operands = () if node.target in READ_SIZES or not _is_data(node) else node.all_input_nodes
        if node.op in ("placeholder", "call_module") or any(operand in reached for operand in operands):
            reached.add(node)
    return {node for node in graph.nodes if node.op == "call_function" and node not in reached}


def _is_data(node: fx.Node) -> bool:
    return node.op != "output" and isinstance(node.meta["val"], (Tensor, list, tuple))


def draws(node: fx.Node) -> bool:
    """Whether the call draws random numbers."""
    return torch.Tag.nondeterministic_seeded in getattr(node.target, "tags", ())


class OfOneSample:
    """Computes dataless values for a batch of one."""

    def __init__(self, graph: Graph) -> None:
        self._graph, self._constants = graph, graph.constants()
        self._values: dict[fx.Node, Any] = {}

    def __call__(self, node: fx.Node) -> Any:
        """The value of a dataless call, a tensor or a number; those before it must have been asked for."""
        target: Any = node.target
        args, kwargs = fx.map_arg((node.args, node.kwargs), self._given)
        with torch.no_grad():
            value = self._values[node] = target(*args, **kwargs)
        return value

    def _given(self, node: fx.Node) -> Any:
        if node in self._values:
            return self._values[node]
        if node in self._constants:
            return self._graph.evaluate(node).detach().clone()  # a call in place must not reach the state
        return torch.empty(tuple(_sizes(node)), dtype=node.meta["val"].dtype)


def _sizes(node: fx.Node) -> Iterator[int]:
    for size in node.meta["val"].shape:
        yield size if isinstance(size, int) else 1
