"""Named predicates on graphs: the words in which passes say what they need and what they leave."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx

from . import grid as _grid  # noqa: F401  registers the lowbit operators that the facts name
from .graph import Graph, arguments, origin, shape

aten, own = torch.ops.aten, torch.ops.lowbit
MASKS = "lowbit.masks."
"""Names of the buffers that multiply weights by 0 or 1."""
PRODUCERS = frozenset({aten.conv2d.default, aten.linear.default})
"""Calls that multiply by a weight: what is quantized, regularized and pruned."""

RESHAPES = frozenset(
    {
        aten.flatten.using_ints,
        aten.reshape.default,
        aten.squeeze.dim,
        aten.squeeze.dims,
        aten.unsqueeze.default,
        aten.view.default,
    }
)
"""Calls that give the same values another shape."""
CONVERSIONS = frozenset(
    {aten.to.dtype, aten.to.dtype_layout, aten.to.device, aten.to.other, aten.type_as.default, aten.detach.default}
)
"""Calls that give the same values, if they are of the type that is asked for; of another, as near as that can be."""


@dataclass(frozen=True)
class Fact:
    """A named predicate; `exception` returns the first place where it does not hold, or nothing."""

    name: str
    exception: Callable[[Graph], str]

    def holds(self, graph: Graph) -> bool:
        return not self.exception(graph)


def weight_of(node: Any) -> fx.Node | None:
    """The parameter or buffer behind a weight operand, through masks and grids; None if it is computed otherwise."""
    while isinstance(node, fx.Node) and node.op == "call_function":
        match node.target:
            case own.fake_quantize.default:
                node = arguments(node)["x"]
            case aten.mul.Tensor if str(getattr(arguments(node)["other"], "target", "")).startswith(MASKS):
                node = arguments(node)["self"]
            case _:
                return None
    return node if isinstance(node, fx.Node) and node.op == "get_attr" else None


def weights_multiplied(graph: Graph) -> list[fx.Node]:
    """The parameters behind the weights of convolutions and linears, each once, in graph order."""
    calls = [node for node in graph.fx.nodes if node.op == "call_function" and node.target in PRODUCERS]
    found = {weight_of(arguments(node)["weight"]): None for node in calls}
    return [node for node in graph.fx.nodes if node in found]


def _first(graph: Graph, wrong: Callable[[fx.Node], bool]) -> str:
    return next((f"{node.name} ({origin(node)})" for node in graph.fx.nodes if wrong(node)), "")


def _weight_off_grid(node: fx.Node) -> bool:
    if node.op != "call_function" or node.target not in PRODUCERS:
        return False
    weight = arguments(node)["weight"]
    return weight.target not in (own.fake_quantize.default, own.dequantize.default)


def _trains(node: fx.Node) -> bool:
    match node.target:
        case aten.batch_norm.default:
            # Without running statistics a norm takes those of its batch in eval mode too.
            return bool(arguments(node)["training"]) and arguments(node)["running_mean"] is not None
        case aten.dropout.default:
            return bool(arguments(node)["train"])
        case _:
            return False


def over_outputs(norm: fx.Node) -> bool:
    """Whether a batch norm behind a convolution or linear normalizes its output channels: axis 1 of both."""
    producer: fx.Node = arguments(norm)["input"]
    return producer.target is not aten.linear.default or len(shape(producer)) == 2


def _foldable(node: fx.Node) -> bool:
    if node.target is not aten.batch_norm.default or arguments(node)["training"]:
        return False
    producer = arguments(node)["input"]
    if producer.target not in PRODUCERS or len(producer.users) > 1 or not over_outputs(node):
        return False
    weight = arguments(producer)["weight"]
    return weight.op == "get_attr" or weight.target is own.dequantize.default


weights_on_grid = Fact("every weight on a grid", lambda graph: _first(graph, _weight_off_grid))
weights_frozen = Fact(
    "no trainable grid",
    lambda graph: _first(
        graph,
        lambda node: (
            node.target is own.fake_quantize.default
            and (arguments(node)["scale"].op != "get_attr" or weight_of(node) is not None)
        ),
    ),
)
inference = Fact("no node in training mode", lambda graph: _first(graph, _trains))
no_batch_norm = Fact("no batch norm behind a convolution or linear", lambda graph: _first(graph, _foldable))
