"""Constant folding: what no input reaches is computed once, at capture, and kept as a buffer.

Parameters and persistent buffers are never folded, since training or a checkpoint gives them other values; nor are
random draws, uninitialized memory, and what anything changes in place.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, fx
from torch.utils import _pytree as pytree

from ..aliases import Aliases, aliases
from ..edit import fake_mode
from ..graph import OWN, Graph, call, must_stay, origin, stamp
from ..text import digest

CONSTANTS = f"{OWN}.constants."
"""Names of the folded buffers; each ends in the digest of its contents, so that one name is one value in any graph."""
LARGE = 1 << 20
"""Elements from which on a constant is not kept if the tensors it is computed from are smaller."""

_aten = torch.ops.aten
_FILLS = frozenset({_aten.fill.Scalar, _aten.fill.Tensor, _aten.zero.default})


def folded(graph: Graph) -> Graph:
    """The same graph with constants in place of what no input reaches. The graph given is not changed."""
    working, _ = graph.copy()
    _put_literals(working)
    known = aliases(working)
    fixed = _fixed(working, known)
    chosen, wanted = _choose(working, fixed, known)
    values = _evaluate(working, wanted)
    state = dict(working.state)
    for node, buffer in _buffers(working, chosen, values, state).items():
        node.replace_all_uses_with(buffer)
    working.fx.eliminate_dead_code(must_stay)
    lost = graph.read() - working.read()
    kept = {name: tensor for name, tensor in state.items() if name not in lost or name not in graph.transient}
    return replace(working, state=kept, transient=graph.transient | (kept.keys() - graph.state.keys()))


def _put_literals(graph: Graph) -> None:
    """Write sizes that no input changes, and what is computed from them, into the calls that read them."""
    literals: dict[fx.Node, Any] = {}
    for node in graph.fx.nodes:
        if node.op == "output":
            break
        if any(operand in literals for operand in node.all_input_nodes):
            node.args, node.kwargs = fx.map_arg((node.args, node.kwargs), lambda n: literals.get(n, n))
        value = _number(node.meta["val"])
        if node.op == "call_function" and value is not None:
            literals[node] = value


def _number(value: Any) -> int | float | bool | None:
    """The number that a value is whatever the input, if it is one."""
    if isinstance(value, torch.SymInt):
        known: int | None = value.node.maybe_as_int()
        return known
    return value if isinstance(value, int | float | bool) else None


def _fixed(graph: Graph, known: Aliases) -> set[fx.Node]:
    """The nodes whose values are the same in every run."""
    lasting = {_memory(tensor) for name, tensor in graph.state.items() if name not in graph.transient}
    found: set[fx.Node] = set()
    unfilled: set[fx.Node] = set()
    for node in graph.fx.nodes:
        if known.groups[node] in known.written or not _is_static(node):
            continue
        if node.op == "get_attr":
            if node.target in graph.transient - graph.updates.keys() and _memory(graph.tensor(node)) not in lasting:
                found.add(node)
        elif _computes(node) and all(
            x in found or (x in unfilled and node.target in _FILLS) for x in node.all_input_nodes
        ):
            (unfilled if "empty" in str(node.target) else found).add(node)
    return found


def _memory(tensor: Tensor) -> int:
    place: int = tensor.untyped_storage()._cdata
    return place


def _is_static(node: fx.Node) -> bool:
    """Whether the node is a tensor, or several, of a size that no input changes."""
    leaves = pytree.tree_leaves(node.meta.get("val"))
    tensors = [x for x in leaves if isinstance(x, Tensor) and x.layout is torch.strided]
    return 0 < len(tensors) == len(leaves) and all(isinstance(size, int) for x in tensors for size in x.shape)


def _computes(node: fx.Node) -> bool:
    """Whether the node is a call that gives the same for the same arguments."""
    known = isinstance(node.target, torch._ops.OpOverload) or node.target is operator.getitem
    return node.op == "call_function" and known and not must_stay(node)


def _choose(graph: Graph, fixed: set[fx.Node], known: Aliases) -> tuple[list[fx.Node], list[fx.Node]]:
    """The nodes to become buffers, the last before an input comes in; and all that has to be computed for them."""
    behind = _elements_behind(graph, fixed)
    needed, wanted, chosen = set[fx.Node](), set[fx.Node](), list[fx.Node]()
    for node in reversed(graph.fx.nodes):
        if node not in fixed:
            needed.update(node.all_input_nodes)
        elif node in needed and node.op != "get_attr":
            if _is_kept_small(node, behind[node], known):
                chosen.append(node)
                wanted.add(node)
            else:
                needed.update(node.all_input_nodes)
        if node in wanted:
            wanted.update(node.all_input_nodes)
    return chosen[::-1], [node for node in graph.fx.nodes if node in wanted]


def _elements_behind(graph: Graph, fixed: set[fx.Node]) -> Mapping[fx.Node, int]:
    """Elements of the largest tensor of the state that each fixed node is computed from."""
    found: dict[fx.Node, int] = {}
    for node in graph.fx.nodes:
        if node in fixed:
            own = node.meta["val"].numel() if node.op == "get_attr" else 0
            found[node] = max((found.get(x, 0) for x in node.all_input_nodes), default=own)
    return found


def _is_kept_small(node: fx.Node, behind: int, known: Aliases) -> bool:
    """Whether a buffer of the node's value costs little; a view that repeats its source is made anew instead."""
    value = node.meta["val"]
    if not isinstance(value, Tensor) or (value.numel() > LARGE and value.numel() > behind):
        return False
    source = known.sources[node][0].meta["val"] if node in known.views else None
    return not isinstance(source, Tensor) or value.numel() <= source.numel()


def _evaluate(graph: Graph, wanted: Iterable[fx.Node]) -> Mapping[fx.Node, Any]:
    values: dict[fx.Node, Any] = {}
    with torch.no_grad():
        for node in wanted:
            args, kwargs = fx.map_arg((node.args, node.kwargs), values.__getitem__)
            values[node] = graph.tensor(node) if node.op == "get_attr" else call(node, args, kwargs)
    return values


def _buffers(
    graph: Graph, chosen: list[fx.Node], values: Mapping[fx.Node, Any], state: dict[str, Tensor]
) -> dict[fx.Node, fx.Node]:
    """A get_attr node over a new buffer for each chosen node; equal constants share one."""
    made: dict[fx.Node, fx.Node] = {}
    known: dict[Any, tuple[Tensor, fx.Node]] = {}
    for node in chosen:
        value = values[node].clone()
        key = (value.dtype, value.device, value.shape, value.stride(), digest(value))
        twin = known.get(key)
        if twin is not None and torch.equal(twin[0], value):
            made[node] = twin[1]
            continue
        made[node] = _buffer(graph, node, value, state)
        known[key] = value, made[node]
    return made


def _buffer(graph: Graph, node: fx.Node, value: Tensor, state: dict[str, Tensor]) -> fx.Node:
    name = f"{CONSTANTS}{node.name}_{digest(value).split()[-1]}"
    state[name] = value
    with graph.fx.inserting_before(node):
        buffer = graph.fx.create_node("get_attr", name, name=node.name)
    stamp(buffer, origin(node), fake_mode([node.meta["val"]]).from_tensor(value, static_shapes=True))
    return buffer
