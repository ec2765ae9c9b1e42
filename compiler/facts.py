"""Named predicates on graphs: the words in which passes say what they need and what they leave."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import fx

from .graph import Graph, arguments, origin
from .layers import is_layer, weight_of
from .operators import PADDED_IN_WORDS, aten, own


@dataclass(frozen=True)
class Fact:
    """A named predicate; `exception` returns the first place where it does not hold, or nothing."""

    name: str
    exception: Callable[[Graph], str]

    def holds(self, graph: Graph) -> bool:
        return not self.exception(graph)


def _first(graph: Graph, wrong: Callable[[fx.Node], bool]) -> str:
    return next((f"{node.name} ({origin(node)})" for node in graph.fx.nodes if wrong(node)), "")


def _weight_off_grid(node: fx.Node) -> bool:
    if not is_layer(node):
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


def _normalizes(node: fx.Node) -> bool:
    """Without running statistics it is no inference norm: then it is weight standardisation."""
    return node.target is aten.batch_norm.default and isinstance(arguments(node)["running_mean"], fx.Node)


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
normal = Fact(
    "every padding in numbers",
    lambda graph: _first(graph, lambda node: node.op == "call_function" and node.target in PADDED_IN_WORDS),
)
inference = Fact("no node in training mode", lambda graph: _first(graph, _trains))
no_batch_norm = Fact("no batch norm with running statistics", lambda graph: _first(graph, _normalizes))
one_graph = Fact(
    "one graph for both modes, as post_training = true makes",
    lambda graph: "" if graph.evaluation is None else "the model",
)
