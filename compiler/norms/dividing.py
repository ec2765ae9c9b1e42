"""Where a simulated fold divides by k again when it runs: the weight, of few values, not the output of the layer.

    layer(x, Q(k w)) / k = layer(x, Q(k w) / k)

Two passes over activations less in a training step. Graphs keep the left side, which says what is on a grid and folds.
"""

from __future__ import annotations

from typing import Any

from torch import fx

from ..graph import Graph, arguments, origin, shape, stamp
from ..layers import is_layer, output_axis, spread_factor
from ..operators import aten


def weights_divided(graph: Graph) -> Graph:
    """The graph to run."""
    run, _ = graph.copy()
    for node in run.nodes:
        if (k := _factor(node)) is not None:
            _move(run, node, arguments(node)["self"], k)
    return run


def _factor(division: fx.Node) -> fx.Node | None:
    """The k by which the output of a layer is divided that has no other reader."""
    if division.target is not aten.div.Tensor:
        return None
    call, k = arguments(division)["self"], spread_factor(arguments(division)["other"])
    fits = is_layer(call) and arguments(call)["bias"] is None and output_axis(call) is not None
    return k if k is not None and fits and k < call and len(call.users) == 1 else None


def _move(graph: Graph, division: fx.Node, layer: fx.Node, k: fx.Node) -> None:
    weight = arguments(layer)["weight"]
    sizes = [-1 if axis == output_axis(layer) else 1 for axis in range(len(shape(weight)))]
    with graph.fx.inserting_before(layer):
        spread = _made(graph, layer, aten.reshape.default, k, sizes)
        divided = _made(graph, layer, aten.div.Tensor, weight, spread)
    layer.replace_input_with(weight, divided)
    division.replace_all_uses_with(layer)
    graph.fx.erase_node(division)


def _made(graph: Graph, at: fx.Node, target: Any, *args: Any) -> fx.Node:
    made = graph.fx.call_function(target, args)
    stamp(made, origin(at), args[0].meta["val"])
    return made
