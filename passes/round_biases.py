"""Round biases to a share of a step of the grid behind them: a file need not hold what a rounding takes away again.

    b -> u floor(b / u + 1/2),   u = 2^k s_x s_w,   k the largest with u <= fraction s_y

s_x, s_w and s_y are the scales of the layer's input, of its weight and of the grid that rounds its output, which moves
by at most fraction / 2 of a step. The integers of biases count s_x s_w, the unit of the accumulator: they become
multiples of 2^k, which codecs halve k times. Between layer and grid may stand what clamps, picks or moves values.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import Annotated

import torch
from msgspec import Meta
from torch import Tensor, fx

from ..compiler.contract import Options, OptionsFor, Pass, WithinSteps
from ..compiler.edit import Edit
from ..compiler.facts import inference, weights_frozen, weights_on_grid
from ..compiler.graph import Graph, arguments, layer
from ..compiler.grids.edges import fused
from ..compiler.grids.sharing import carried, readers
from ..compiler.layers import is_layer
from ..compiler.operators import CARRIERS, CLAMPS, own
from ..compiler.pattern import Planned
from ..compiler.rule import Match, rule


class Settings(Options, frozen=True):
    """fraction: of a step of the grid behind a layer, the most by which two neighbouring biases may differ."""

    fraction: Annotated[float, Meta(gt=0, le=1)] = 0.25


@dataclass(frozen=True)
class Rounded:
    """A bias that is rounded, (channels,), or the reason why it stays."""

    bias: Tensor | None = None
    reason: str = ""


def plan(graph: Graph, options: OptionsFor) -> Mapping[str, Rounded]:
    """Layer -> its bias."""
    constants = graph.constants()
    together = fused(graph, constants)
    return {
        node.name: _rounded(graph, node, together, constants, options(layer(node)).fraction)
        for node in graph.nodes
        if is_layer(node)
    }


def _rounded(
    graph: Graph, node: fx.Node, together: Mapping[fx.Node, fx.Node], constants: Set[fx.Node], fraction: float
) -> Rounded:
    given = arguments(node)
    if given["bias"] not in constants:
        return Rounded(reason="it has no bias" if given["bias"] is None else "its bias is computed from an input")
    source, rounds = _grid_in_front(given["input"]), _grid_behind(node, together)
    if source is None:
        return Rounded(reason="its input is on no grid")
    if rounds is None:
        return Rounded(reason="what it computes is not rounded before anything else is computed with it")
    bias, unit = graph.evaluate(given["bias"]), _scale(graph, source) * _scale(graph, given["weight"])
    most = fraction * float(_scale(graph, rounds))
    unit = unit * 2.0 ** math.floor(math.log2(most / float(unit.max())))
    rounded = (torch.floor(bias.double() / unit + 0.5) * unit).to(bias.dtype)
    if torch.equal(rounded, bias):
        return Rounded(reason="its bias is rounded already")
    return Rounded(rounded)


def _grid_in_front(x: fx.Node) -> fx.Node | None:
    while sources := carried(x):
        x = sources[0]
    return x if x.target is own.fake_quantize.default else None


def _grid_behind(node: fx.Node, together: Mapping[fx.Node, fx.Node]) -> fx.Node | None:
    """The grid that alone reads what a layer computes; none where it is scaled or added to before."""
    while node in together:
        node = together[node]
        if node.target not in CLAMPS | CARRIERS:
            return None
    found = readers(node)
    return found[0] if len(found) == 1 and found[0].target is own.fake_quantize.default else None


def _scale(graph: Graph, grid: fx.Node) -> Tensor:
    return graph.evaluate(arguments(grid)["scale"]).double()


def _changes(match: Match) -> str:
    return str(match.plan[match.root.name].reason)


@rule(Planned(), _changes)
def coarser(match: Match, edit: Edit) -> fx.Node:
    """b -> u floor(b / u + 1/2)."""
    call = match.root
    name = f"{layer(call) or call.name}.rounded_bias"
    return edit.like(call, bias=edit.parameter(name, match.plan[call.name].bias))


PASS = Pass(
    rules=(coarser,),
    law=WithinSteps(lambda options: options.fraction / 2),
    options=Settings,
    plan=plan,
    needs=(inference, weights_on_grid, weights_frozen),
    fires=(
        "conv(3) bn relu linear(4) | insert_fake_quant | eval | freeze | fold_batch_norm | round_biases",
        "conv(4) bn relu6 maxpool [ tconv(4) ] cat linear(4) relu linear(3)"
        " | insert_fake_quant(per_channel=true) | eval | freeze | fold_batch_norm | round_biases(fraction=0.0625)",
        "conv(4) swap bn relu conv(2) | insert_fake_quant(weight_bits=2) | eval | freeze | fold_batch_norm"
        " | round_biases(fraction=1.0)",
    ),
    refuses={
        "conv(3,nobias) | insert_fake_quant | eval | freeze | round_biases": "it has no bias",
        "conv(3) bn | insert_fake_quant | eval | freeze | round_biases": (
            "what it computes is not rounded before anything else is computed with it"
        ),
        "conv(3) | insert_fake_quant | eval | freeze | round_biases | round_biases": "its bias is rounded already",
    },
)
