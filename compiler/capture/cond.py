"""torch.cond, which torch.export records as a call of two subgraphs: both are computed, and one is chosen."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx
from torch.fx import Node
from torch.utils import _pytree as pytree

from ..aliases import written
from ..errors import UserError
from ..graph import arguments, is_arithmetic, is_random
from ..modes import FLAGS
from .refusal import place_of

_aten = torch.ops.aten
COND = torch.ops.higher_order.cond

_TAME = frozenset({
    "linear", "conv1d", "conv2d", "conv3d", "matmul", "bmm", "addmm", "relu", "relu_", "leaky_relu", "hardtanh", "gelu",
    "silu", "sigmoid", "tanh", "hardswish", "hardsigmoid", "softmax", "layer_norm", "group_norm", "dropout", "add",
    "add_", "sub", "sub_", "neg", "mean", "sum", "max_pool2d", "avg_pool2d", "adaptive_avg_pool2d", "pad", "cat",
    "stack", "view", "reshape", "flatten", "unflatten", "permute", "transpose", "t", "squeeze", "unsqueeze", "expand",
    "expand_as", "slice", "select", "split", "chunk", "narrow", "contiguous", "clone", "detach", "where", "zeros_like",
    "ones_like", "zeros", "ones", "full", "sym_size",
})  # fmt: skip
"""Operators that make finite numbers of finite ones, gradients too, as long as the type has room for them."""
_SCALED = frozenset({"mul", "div"})
"""As those, by a number."""
_NO_ROOM = (torch.float16,)
_MARKS = (torch._C._set_grad_enabled, torch.amp.autocast_mode._enter_autocast, torch.amp.autocast_mode._exit_autocast)


@dataclass(frozen=True)
class Inline:
    """How to write one call of torch.cond into a graph.

    block: appends the calls of a subgraph on these values, and returns what it returns.   emit: appends a call of a
    target on args and kwargs, with a name and a fake value.   carries: whether a value may carry gradients.
    still: the value without them.   shield: as `emit`, with gradients wherever the call stands.
    """

    block: Callable[[fx.GraphModule, Sequence[Any]], Any]
    emit: Callable[..., Node]
    shield: Callable[..., Node]
    carries: Callable[[Node], bool]
    still: Callable[[Node], Node]


def chosen(node: Node, args: Sequence[Any], inline: Inline) -> Any:
    """What a call of torch.cond returns, as values of the flat graph.

    Each output is `where(condition, a, b)`, which gives zeros for gradients to the side that was not selected. Zeros
    times infinity would be NaN: so a side that can make one reads each value `x` with gradients as
    `where(condition, x, x.detach())`, or the other way round, where the zeros begin anew. A side of layers and the like
    cannot, and reads `x` itself, so that its weights stay weights for the passes.
    Raises UserError for a side that draws random numbers, writes what it was given, or returns another shape.
    """
    given, bodies, operands = args[0], args[1:3], args[3]
    if isinstance(given, bool):
        return inline.block(bodies[0 if given else 1], operands)
    if not all(isinstance(x, Tensor | None) for x in node.meta["val"]):
        raise _refusal(node, "a side of torch.cond returns a number", "return tensors, as torch.full makes of numbers")
    for body in bodies:
        _refuse_effects(node, body)
    if not isinstance(given.meta["val"], Tensor):
        _refuse_lone_readers(node, bodies, operands, inline)
    condition = _condition(node, given, inline)
    sides = [inline.block(body, _operands(condition, i, body, operands, inline)) for i, body in enumerate(bodies)]
    return tuple(_choice(node, condition, a, b, inline) for a, b in zip(*sides, strict=True))


def _condition(node: Node, given: Node, inline: Inline) -> Node:
    """The condition as a tensor of no axes, to be broadcast."""
    value = given.meta["val"]
    if not isinstance(value, Tensor):  # it is of sizes
        first = next(x for x in pytree.tree_leaves(node.meta["val"]) if isinstance(x, Tensor))
        value = first.new_full((), True, dtype=torch.bool)
        return inline.emit(_aten.full.default, ([], given), {"device": value.device}, "condition", value)
    if value.dim():
        value = value.reshape(())
        given = inline.emit(_aten.reshape.default, (given, []), {}, "condition", value)
    return given if value.dtype == torch.bool else inline.emit(_aten.ne.Scalar, (given, 0), {}, "condition", value != 0)


def _operands(
    condition: Node, side: int, body: fx.GraphModule, operands: Sequence[Any], inline: Inline
) -> Sequence[Any]:
    """What one side reads."""
    if all(_is_tame(node) for node in _calls(body)):
        return operands
    return [_shielded(condition, side, x, inline) if isinstance(x, Node) else x for x in operands]


def _shielded(condition: Node, side: int, value: Node, inline: Inline) -> Node:
    """The value, whose gradients are exact zeros where the other side is selected."""
    if not inline.carries(value):
        return value
    pair = (value, inline.still(value)) if side == 0 else (inline.still(value), value)
    fake = _aten.where.self(condition.meta["val"], value.meta["val"], value.meta["val"])
    return inline.shield(_aten.where.self, (condition, *pair), {}, "shielded", fake)


def _is_tame(node: Node) -> bool:
    """Whether a call makes finite numbers of finite ones, forward and backward."""
    if isinstance(node.target, torch._ops.HigherOrderOperator) or is_arithmetic(node.target):
        return True  # what they run is looked at too
    if not isinstance(node.target, torch._ops.OpOverload):
        return False
    values, name = [*arguments(node).values()], _name(node)
    finite = all(math.isfinite(x) for x in values if isinstance(x, float)) and arguments(node).get("eps") != 0
    known = name in _TAME or (name in _SCALED and isinstance(values[1], int | float) and values[1] != 0)
    result = node.meta.get("val")
    return known and finite and not (isinstance(result, Tensor) and result.dtype in _NO_ROOM)


def _choice(node: Node, condition: Node, a: Any, b: Any, inline: Inline) -> Any:
    if not isinstance(a, Node) and not isinstance(b, Node) and a == b:
        return a
    values = [x.meta["val"] if isinstance(x, Node) else x for x in (a, b)]
    if not _are_alike(*values):
        shapes = " and ".join(f"{tuple(x.shape)} {str(x.dtype).removeprefix('torch.')}" for x in values)
        why = f"the sides of torch.cond return different shapes or types: {shapes}"
        raise _refusal(node, why, "return the same shape and type from both")
    fake = _aten.where.self(condition.meta["val"], *values)
    return inline.emit(_aten.where.self, (condition, a, b), {}, "chosen", fake)


def _are_alike(a: Tensor, b: Tensor) -> bool:
    return list(map(str, a.shape)) == list(map(str, b.shape)) and a.dtype == b.dtype


def _refuse_effects(node: Node, body: fx.GraphModule) -> None:
    """Both sides are computed: what one of them does beside its results would happen though it was not selected."""
    parts = [part for part in body.modules() if isinstance(part, fx.GraphModule)]
    given = {_memory(x) for part in parts for x in part.graph.find_nodes(op="placeholder")} - {0}
    for call in _calls(body):
        if _draws(call):
            why = "a side of torch.cond draws random numbers, and the graph, which computes both, would draw others"
            raise _refusal(node, why, "draw before torch.cond, and choose what to do with it there")
        if any(_memory(x) in given for x in written(call)):
            why = "a side of torch.cond changes what it was given in place, and the graph computes both"
            raise _refusal(node, why, "return the new value, and write it after torch.cond")


def _refuse_lone_readers(node: Node, bodies: Sequence[fx.GraphModule], operands: Sequence[Any], inline: Inline) -> None:
    """On a size, torch.cond runs one side alone: what only the other reads gets no gradient, where ours are zeros."""
    ports = zip(*(body.graph.find_nodes(op="placeholder") for body in bodies), strict=True)
    for value, pair in zip(operands, ports, strict=True):
        if isinstance(value, Node) and inline.carries(value) and len({bool(port.users) for port in pair}) == 2:
            why = f"torch.cond on a size is a Python branch, and '{value.target}' gets a gradient only if it is taken"
            raise _refusal(node, f"{why}: only one side reads it", "read the same parameters on both sides")


def _draws(node: Node) -> bool:
    """Whether a call draws random numbers as it stands; a dropout that is told of eval mode does not."""
    flag, off = FLAGS.get(_name(node), ("", None))
    return is_random(node) and not (flag and arguments(node)[flag] == off) and arguments(node).get("p") != 0


def _calls(body: fx.GraphModule) -> Iterator[Node]:
    """The operators of a side, and of all that is nested in it."""
    for part in body.modules():
        nodes = part.graph.nodes if isinstance(part, fx.GraphModule) else ()
        yield from (node for node in nodes if node.op == "call_function" and node.target not in _MARKS)


def _name(node: Node) -> str:
    schema = getattr(node.target, "_schema", None)
    return schema.name.removeprefix("aten::") if schema is not None else ""


def _memory(node: Node) -> int:
    value = node.meta.get("val")
    return value.untyped_storage()._cdata if isinstance(value, Tensor) else 0


def _refusal(node: Node, why: str, fix: str) -> UserError:
    place = place_of(node)
    leaf = f"; or keep the module out of the graph with leaves = ['{place.layer}']" if place.layer else ""
    return UserError("the model cannot be captured", where=str(place), why=why, fix=fix + leaf)
