"""Named predicates on graphs: the words in which passes say what they need and what they leave."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import fx

from .graph import Graph, arguments, origin
from .layers import is_layer, weight_of
from .operators import GRIDS, PADDED_IN_WORDS, aten, own


@dataclass(frozen=True)
class Fact:
    """A named predicate; `exception` returns the first place where it does not hold, or nothing.

    fix: what a user changes in a recipe where no pass before made it hold.
    """

    name: str
    exception: Callable[[Graph], str]
    fix: str = "add the pass that leaves it to the recipe, see `lowbit passes`"

    def holds(self, graph: Graph) -> bool:
        return not self.exception(graph)


def _first(graph: Graph, wrong: Callable[[fx.Node], bool]) -> str:
    return next((f"{node.name} ({origin(node)})" for node in graph.fx.nodes if wrong(node)), "")


def _first_weight(graph: Graph, on_grid: bool) -> str:
    """The first layer whose weight is on a grid, or is not; one that is computed from an input is an activation."""
    constants = graph.constants()

    def is_so(node: fx.Node) -> bool:
        weight = arguments(node)["weight"] if is_layer(node) else None
        return weight in constants and (weight.target in GRIDS) == on_grid

    return _first(graph, is_so)


def _trains(node: fx.Node) -> bool:
    match node.target:
        case aten.batch_norm.default:
            # Without running statistics a norm takes those of its batch in eval mode too.
            return bool(arguments(node)["training"]) and arguments(node)["running_mean"] is not None
        case aten.dropout.default:
            return bool(arguments(node)["train"])
        case _:
            return False


def is_norm(node: fx.Node) -> bool:
    """Whether it is a batch norm with running statistics; without them it is weight standardisation."""
    return node.target is aten.batch_norm.default and isinstance(arguments(node)["running_mean"], fx.Node)


weights_on_grid = Fact(
    "every weight on a grid",
    lambda graph: _first_weight(graph, on_grid=False),
    "add insert_fake_quant to [[prepare]]",
)
weights_in_float = Fact(
    "no weight on a grid yet",
    lambda graph: _first_weight(graph, on_grid=True),
    "put it under [[prepare]], before the pass that puts weights on grids",
)
folds_alone = Fact(
    "no simulated fold yet",
    lambda graph: _first(graph, lambda node: node.target is own.norm_factor.default),
    "put it before simulate_fold",
)
weights_frozen = Fact(
    "no trainable grid",
    lambda graph: _first(
        graph,
        lambda node: (
            node.target is own.fake_quantize.default
            and (arguments(node)["scale"].op != "get_attr" or weight_of(node) is not None)
        ),
    ),
    "add freeze to [[lower]], before it",
)
normal = Fact(
    "every padding in numbers",
    lambda graph: _first(graph, lambda node: node.op == "call_function" and node.target in PADDED_IN_WORDS),
)
inference = Fact(
    "no node in training mode",
    lambda graph: _first(graph, _trains),
    "put it under [[lower]], or say post_training = true of a model that comes trained",
)
no_batch_norm = Fact(
    "no batch norm with running statistics",
    lambda graph: _first(graph, is_norm),
    "add fold_batch_norm to [[lower]]",
)
one_graph = Fact(
    "one graph for both modes, as post_training = true makes",
    lambda graph: "" if graph.evaluation is None else "the model",
    "say post_training = true of a model that comes trained, or leave the pass out",
)
