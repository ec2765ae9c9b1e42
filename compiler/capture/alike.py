"""Calls of two traces side by side: do they do the same, and do two graphs?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import fx
from torch.fx.experimental.symbolic_shapes import free_unbacked_symbols
from torch.utils import _pytree as pytree

from ..graph import Graph, is_effect, origin
from .branches import is_decision

Pair = tuple[fx.Node, fx.Node]


class Unlike(Exception):
    """Why the two sides of a branch cannot be in one graph."""


def same_call(a: fx.Node, b: fx.Node, ours: Graph, theirs: Graph) -> bool:
    """Whether both do the same with their operands, whatever these are, and return a value of the same kind."""
    return same_kind(a, b) and _same_target(a, b, ours, theirs)


def _same_target(a: fx.Node, b: fx.Node, ours: Graph, theirs: Graph) -> bool:
    if a.op != b.op:
        return False
    if a.op == "get_attr":
        return _same_tensor(str(a.target), str(b.target), ours, theirs)
    if is_decision(a) and is_decision(b):
        return a.args[2] == b.args[2]  # its number is another where one before it was not met
    (flat, form), (other, other_form) = _flat(a), _flat(b)
    there = a.target == b.target and origin(a).autocasts == origin(b).autocasts
    return there and form == other_form and all(map(_same_argument, flat, other))


def same_kind(a: fx.Node, b: fx.Node) -> bool:
    """Whether two values agree in type, shape and device; each trace has its own symbols, of the same names."""
    return _kinds(a) == _kinds(b)


def same_size(a: fx.Node, b: fx.Node) -> bool:
    """Whether both are one size of the inputs, whichever tensor each trace happens to read it from."""
    sizes = isinstance(a.meta.get("val"), torch.SymInt) and not free_unbacked_symbols(a.meta["val"])
    return sizes and same_kind(a, b)


def operands(a: fx.Node, b: fx.Node) -> list[Pair]:
    """What two calls that do the same read, side by side."""
    if is_decision(a):
        return [(a.all_input_nodes[0], b.all_input_nodes[0])]
    return [(x, y) for x, y in zip(_flat(a)[0], _flat(b)[0], strict=True) if isinstance(x, fx.Node)]


def resembles(ours: Graph, theirs: Graph, taken: Mapping[fx.Node, fx.Node], decided: Sequence[Pair]) -> None:
    """Raise Unlike unless a graph, with one side of each branch taken, computes call by call what a trace does.

    taken: choice between both sides -> the operand that it is.   decided: values beside the outputs that must agree.
    """
    results, effects = (ours.outputs, theirs.outputs), (_effects(ours), _effects(theirs))
    if any(len(a) != len(b) for a, b in (results, effects)):
        raise Unlike("the sides return or change different things")
    pending: list[Pair] = [*zip(*results, strict=True), *zip(*effects, strict=True), *decided]
    known, names = dict[fx.Node, fx.Node](), _names(ours, theirs)
    while pending:
        a, b = pending.pop()
        while a in taken:
            a = taken[a]
        if same_size(a, b) or _size_of_input(a) == names.get(_size_of_input(b), ""):
            continue
        if b not in known:
            # Not the shapes: they follow, and where no layer runs nothing says that two inputs have one batch.
            if not _same_target(a, b, ours, theirs):
                raise Unlike("the sides read different values after the branch")
            known[b] = a
            pending += operands(a, b)
        elif known[b] is not a:
            raise Unlike("the sides read different values after the branch")


def _names(ours: Graph, theirs: Graph) -> dict[str, str]:
    """Symbol of a size of an input in one trace -> its symbol in the other, which may know that two are one."""
    pairs = [(a.meta["val"], b.meta["val"]) for a, b in zip(ours.inputs, theirs.inputs, strict=True)]
    shapes = [(a.shape, b.shape) for a, b in pairs if isinstance(a, torch.Tensor)]
    return {str(y): str(x) for a, b in shapes for x, y in zip(a, b, strict=True) if isinstance(y, torch.SymInt)}


def _size_of_input(node: fx.Node) -> str:
    """The symbol of a size; of anything else what no symbol is called."""
    value = node.meta.get("val")
    return str(value) if isinstance(value, torch.SymInt) else "no size"


def _effects(graph: Graph) -> list[fx.Node]:
    return [node for node in graph.fx.nodes if node.op not in ("placeholder", "output") and is_effect(node)]


def _flat(node: fx.Node) -> tuple[list[Any], pytree.TreeSpec]:
    return pytree.tree_flatten((node.args, node.kwargs))


def _same_argument(a: Any, b: Any) -> bool:
    if isinstance(a, fx.Node) or isinstance(b, fx.Node):
        return isinstance(a, fx.Node) and isinstance(b, fx.Node)
    return type(a) is type(b) and bool(a == b)


def _kinds(node: fx.Node) -> list[Any]:
    return [_kind(x) for x in pytree.tree_leaves(node.meta.get("val"))]


def _kind(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.dtype, value.device, [str(size) for size in value.shape]
    return str(value) if isinstance(value, torch.SymInt) else type(value)


def _same_tensor(name: str, other: str, ours: Graph, theirs: Graph) -> bool:
    """Whether it is the model's own parameter or buffer; a constant, which each trace makes anew, goes by its value."""
    a, b = ours.state[name], theirs.state[other]
    own = ours.state.get(other) is b or theirs.state.get(name) is a or isinstance(a, torch.nn.Parameter)
    return a is b or (not own and a.dtype == b.dtype and a.device == b.device and torch.equal(a, b))
