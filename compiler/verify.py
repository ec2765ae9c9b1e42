"""Numbered invariants of a graph, checked around every pass."""

from __future__ import annotations

import operator

import torch
from torch import fx

from .errors import Broken
from .graph import Graph, is_arithmetic, must_stay, origin, schema_arguments, tensor_of


def verify(graph: Graph, after: str) -> None:
    """Raise Broken, naming the invariant and the node, unless the graph is legal.

    G1 nodes stand before their readers, under unique names.
    G2 a node is an input, a tensor, a call of a registered operator or of a leaf, or the output.
    G3 every tensor read is in the state, every leaf called in the leaves.
    G4 every node has a value and an origin.
    G5 every argument given is one of the operator's schema.
    G6 penalties are scalars; updates name parameters and buffers, and have their shape.
    G7 every call is read, changes something, or draws random numbers.
    """
    try:
        graph.fx.lint()
    except RuntimeError as error:
        raise Broken(f"{after} broke G1", why=str(error)) from error
    for node in graph.fx.nodes:
        broken = _node(graph, node)
        if broken:
            raise Broken(f"{after} broke {broken}", where=f"{node.format_node()} of {origin(node)}")
    _output(graph, after)


def _node(graph: Graph, node: fx.Node) -> str:
    if node.op == "output":
        return ""
    if node.op not in ("placeholder", "get_attr", "call_function", "call_module"):
        return f"G2: a {node.op} node"
    if node.op == "get_attr" and node.target not in graph.state:
        return f"G3: no tensor '{node.target}'"
    if node.op == "call_module" and node.target not in graph.leaves:
        return f"G3: no leaf '{node.target}'"
    if "val" not in node.meta:
        return "G4: no value"
    if node.op == "call_function":
        return _call(node)
    return ""


def _call(node: fx.Node) -> str:
    if not node.users and not must_stay(node):
        return "G7: a call that nobody reads"
    if not isinstance(node.target, torch._ops.OpOverload):
        known = is_arithmetic(node.target) or node.target in (operator.getitem, tensor_of)
        return "" if known or isinstance(node.target, torch._ops.HigherOrderOperator) else "G2: not an operator"
    known_names = [name for name, _ in schema_arguments(node.target)]
    if len(node.args) > len(known_names) or not node.kwargs.keys() <= set(known_names[len(node.args) :]):
        return "G5: an argument that the schema does not have"
    return ""


def _output(graph: Graph, after: str) -> None:
    for name, penalty in graph.penalties.items():
        if any(part.meta["val"].dim() != 0 for part in penalty if isinstance(part, fx.Node)):
            raise Broken(f"{after} broke G6: the penalty '{name}' is not a scalar", where=str(origin(penalty.term)))
    for name, node in graph.updates.items():
        tensor = graph.state.get(name)
        if tensor is None or tensor.shape != node.meta["val"].shape:
            raise Broken(f"{after} broke G6: '{name}' cannot take its update", where=str(origin(node)))
