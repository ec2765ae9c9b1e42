"""Devices: what a graph's calls make anew is made where the model is now, not where it was captured."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import fx
from torch.fx.node import map_aggregate

from .graph import OWN, Graph, arguments

aten = torch.ops.aten

_RECURRENT = (aten.lstm.input, aten.gru.input, aten.rnn_tanh.input, aten.rnn_relu.input)


def placed(graph: Graph, device: torch.device) -> Graph:
    """The graph for a model that has moved to that device: calls that name the device of the capture name this one."""
    before = home(graph.fx)
    if device == before:
        return graph
    moved, _ = graph.copy()
    _replace(moved, before, device)
    return replace(moved, evaluation=graph.evaluation and placed(graph.evaluation, device))


def portable(graph: Graph) -> Graph:
    """The graph with one more input, the first: the device on which its calls make tensors."""
    freed, _ = graph.copy()
    with freed.fx.inserting_before(freed.nodes[0]):
        device = freed.fx.placeholder("device")
    _replace(freed, home(graph.fx), device)
    for node in freed.nodes:
        if node.target in _RECURRENT:
            _start_alike(freed, node)
    return freed


def is_literal(name: str) -> bool:
    """Whether the buffer is a constant in the code of a forward, which torch.export or folding gave a name."""
    return name.startswith(f"{OWN}.constants.") or name.rpartition(".")[2].startswith("lifted_tensor_")


def home(graph: fx.Graph) -> torch.device | None:
    """Where the model was at capture; None if nothing says so."""
    for node in graph.nodes:
        value = node.meta.get("val")
        if node.op in ("placeholder", "get_attr") and isinstance(value, torch.Tensor):
            return value.device
    return None


def _names(node: fx.Node, device: torch.device | None) -> bool:
    found: list[Any] = []
    map_aggregate((node.args, node.kwargs), found.append)
    return any(isinstance(leaf, torch.device) and leaf == device for leaf in found)


def _replace(graph: Graph, old: torch.device | None, new: torch.device | fx.Node) -> None:
    """A device other than the old one was chosen by the model, and stays."""
    for node in graph.nodes:
        if _names(node, old):
            args, kwargs = map_aggregate(
                (node.args, node.kwargs), lambda leaf: new if isinstance(leaf, torch.device) and leaf == old else leaf
            )
            node.args, node.kwargs = args, kwargs


def _start_alike(graph: Graph, call: fx.Node) -> None:
    """Zeros that a recurrence starts from take its input's type: torch makes them so, and export forgets it."""
    given = arguments(call)
    for state in given["hx"] if isinstance(given["hx"], (list, tuple)) else [given["hx"]]:
        if state.target is aten.zeros.default and len(state.users) == 1:
            with graph.fx.inserting_before(call):
                alike = graph.fx.call_function(aten.new_zeros.default, (given["input"], state.args[0]))
            state.replace_all_uses_with(alike)
            graph.fx.erase_node(state)
