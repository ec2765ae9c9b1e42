"""Who shares memory with whom: by the schemas of the operators, and by the memory that capture saw."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx
from torch.utils import _pytree as pytree

from .graph import Graph, arguments

_VIEWS_MADE_OF_OTHERS = frozenset({"chunk", "narrow", "unflatten", "view_as", "movedim", "swapaxes", "tensor_split"})
_MODES = frozenset({"dropout", "feature_dropout", "alpha_dropout", "feature_alpha_dropout"})
"""They return their very input in eval mode."""


@dataclass(frozen=True)
class Aliases:
    """sources: node -> the tensors whose memory its own may be.   views: nodes that certainly are a view of one source.
    groups: node -> the first node of all that may share its memory.   written: the groups that some call changes.
    """

    sources: Mapping[fx.Node, tuple[fx.Node, ...]]
    views: frozenset[fx.Node]
    groups: Mapping[fx.Node, fx.Node]
    written: frozenset[fx.Node]


def aliases(graph: Graph) -> Aliases:
    """Group the nodes by memory, in time linear in the graph."""
    sources, views, groups = dict[fx.Node, tuple[fx.Node, ...]](), set[fx.Node](), dict[fx.Node, fx.Node]()
    changed: list[fx.Node] = []
    for node in graph.fx.nodes:
        sources[node], sure = _sources(node)
        changed += written(node)
        groups[node] = node
        if sure:
            views.add(node)
        for source in sources[node]:
            groups[_first(groups, node)] = _first(groups, source)
    flat = {node: _first(groups, node) for node in groups}
    return Aliases(sources, frozenset(views), flat, frozenset(flat[node] for node in changed))


def _first(groups: dict[fx.Node, fx.Node], node: fx.Node) -> fx.Node:
    while groups[node] is not node:
        groups[node] = node = groups[groups[node]]  # shorter for the next search
    return node


def written(node: fx.Node) -> list[fx.Node]:
    """The tensors that a call changes."""
    return [tensor for argument, tensor in _annotated(node) if argument.is_write]


def _annotated(node: fx.Node) -> Iterator[tuple[Any, fx.Node]]:
    """The alias annotation of each tensor whose memory a call changes or returns, by the operator's schema."""
    if not isinstance(node.target, torch._ops.OpOverload):
        return
    given = arguments(node)
    for argument in node.target._schema.arguments:
        if argument.alias_info is not None:
            yield from ((argument.alias_info, x) for x in pytree.tree_leaves(given[argument.name]) if _is_node(x))


def _sources(node: fx.Node) -> tuple[tuple[fx.Node, ...], bool]:
    """The tensors whose memory a node's own may be, and whether it certainly is a view of the one."""
    if node.op not in ("call_function", "call_module"):
        return (), False
    if node.target is operator.getitem:
        return ((node.all_input_nodes[0],), True) if _is_list_of_views(node.all_input_nodes[0]) else ((), False)
    if not isinstance(node.target, torch._ops.OpOverload):
        return tuple(x for x in node.all_input_nodes if _memory(x) or x.op == "call_module"), False
    found = tuple(x for _, x in _annotated(node))
    if _name(node.target) == "to" and node.meta["val"].dtype != found[0].meta["val"].dtype:
        return (), False
    if found:
        return found, len(found) == 1 and not written(node) and _always_views(node.target)
    if _name(node.target) == "lift_fresh_copy":  # whose fake value is the literal's own
        return (), False
    shared = _memory(node) & {place for x in node.all_input_nodes for place in _memory(x)}
    if shared or _name(node.target) in _MODES:
        return tuple(node.all_input_nodes), False
    return (), False


def _is_list_of_views(items: fx.Node) -> bool:
    """Whether several results of a call share memory with each other or with what it read."""
    places = [
        x.untyped_storage()._cdata for x in pytree.tree_leaves(items.meta.get("val")) if isinstance(x, torch.Tensor)
    ]
    return len(set(places)) < len(places) or any(place in _memory(x) for x in items.all_input_nodes for place in places)


def _always_views(target: Any) -> bool:
    """Whether the result shares memory whatever the strides; reshape, contiguous and to may copy."""
    return not target._can_decompose() or _name(target) in _VIEWS_MADE_OF_OTHERS


def _name(target: Any) -> str:
    name: str = target._schema.name
    return name.removeprefix("aten::")


def _memory(node: fx.Node) -> set[int]:
    """Where the (fake) tensors of a node are."""
    leaves = pytree.tree_leaves(node.meta.get("val"))
    return {x.untyped_storage()._cdata for x in leaves if isinstance(x, torch.Tensor)}


def _is_node(value: Any) -> bool:
    return isinstance(value, fx.Node)
