"""Put a grid on every edge that the target holds as integers: weights, inputs, activations and outputs.

    y = fake_quantize(x, exp2(log2_scale)),  log2_scale a parameter, at first the MSQE-optimal one of the weights

A value that only feeds what is fused with it (batch norm behind a convolution, ReLU behind anything) gets no grid
of its own; pooling, reshapes and dropout carry the grid of their input. Activations that cannot be negative use an
unsigned grid. Weights use one scale a layer (Choi et al. 2020) or one a channel, on a symmetric narrow grid.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from msgspec import Meta
from torch import fx

from ..compiler.contract import OnGrid, Options, OptionsFor, Pass
from ..compiler.edit import Edit
from ..compiler.errors import UserError
from ..compiler.facts import weights_on_grid
from ..compiler.graph import Graph, arguments, layer
from ..compiler.grid import Grid, best_scale
from ..compiler.layers import is_layer, weight_of
from ..compiler.operators import AVERAGES, CARRIERS, GRIDS, PRODUCERS, RECTIFIERS
from ..compiler.pattern import Planned
from ..compiler.rule import Match, rule

_aten, _own = torch.ops.aten, torch.ops.lowbit

ActivationBits = Annotated[int, Meta(ge=1, le=16)]


class Settings(Options, frozen=True):
    """Widths of the grids. per_channel: one weight scale for each output channel instead of one a layer."""

    weight_bits: Annotated[int, Meta(ge=2, le=16)] = 8
    activation_bits: ActivationBits = 8
    input_bits: ActivationBits = 8
    output_bits: ActivationBits = 16
    per_channel: bool = False


@dataclass(frozen=True)
class Edge:
    """A planned grid: the scale's name in the state and its first value, and the grid itself.

    straight: the gradient passes where a value is clipped, as it must for weights.
    """

    name: str
    log2_scale: torch.Tensor
    grid: Grid
    straight: bool = False


def plan(graph: Graph, options: OptionsFor) -> Mapping[str, Edge]:
    """Node name -> grid, for every weight and every activation that needs one."""
    edges: dict[str, Edge] = {}
    fixed = graph.constants()
    for node in graph.nodes:
        if is_layer(node):
            weight = arguments(node)["weight"]
            if weight.target not in GRIDS:
                edges[weight.name] = _weight_edge(graph, node, weight, options)
        if node not in fixed and _is_activation(node) and _needs_grid(node):
            edges[node.name] = _activation_edge(node, options)
    return edges


def _weight_edge(graph: Graph, call: fx.Node, weight: fx.Node, options: OptionsFor) -> Edge:
    source = weight_of(weight)
    if source is None:
        raise UserError("a weight is computed from other values", where=str(layer(call)), fix="make it a parameter")
    chosen = options(layer(source))
    grid = Grid(chosen.weight_bits, signed=True, narrow=True)
    scale = best_scale(graph.evaluate(weight), grid, axis=0 if chosen.per_channel else None)
    return Edge(f"lowbit.scales.weights.{source.target}", torch.log2(scale), grid, straight=True)


def _is_activation(node: fx.Node) -> bool:
    value = node.meta.get("val")
    return node.op in ("placeholder", "call_function") and isinstance(value, torch.Tensor) and value.is_floating_point()


def _needs_grid(node: fx.Node) -> bool:
    settled = node.target in GRIDS or (node.target in CARRIERS and not _pools_accumulator(node))
    return not settled and any(not _fuses(node, reader) for reader in node.users)


def _pools_accumulator(node: fx.Node) -> bool:
    if node.target is not _aten.max_pool2d.default:
        return False
    source: fx.Node = arguments(node)["self"]
    return len(source.users) == 1 and _accumulates(source)


def _fuses(node: fx.Node, reader: fx.Node) -> bool:
    """Whether the integer program computes `reader` together with `node`, before any rounding."""
    if len(node.users) > 1:
        return False
    if reader.target is _aten.max_pool2d.default:
        return _accumulates(node)  # rounding keeps order, so the maximum may go first, and a smaller tensor is rounded
    norm = reader.target is _aten.batch_norm.default and node.target in PRODUCERS
    return norm or (reader.target in RECTIFIERS and node.op == "call_function")


def _accumulates(node: Any) -> bool:
    """Whether the node is a convolution, up to batch norm and rectifiers: a maximum of it stays within a channel."""
    monotone = RECTIFIERS | {_aten.batch_norm.default, _aten.max_pool2d.default}
    while isinstance(node, fx.Node) and node.target in monotone:
        node = node.args[0]
    return isinstance(node, fx.Node) and node.target is _aten.conv2d.default


def _activation_edge(node: fx.Node, options: OptionsFor) -> Edge:
    chosen = options(layer(node))
    inner = chosen.output_bits if _is_last(node) else chosen.activation_bits
    bits = chosen.input_bits if node.op == "placeholder" else inner
    grid = Grid(bits, signed=not _nonnegative(node))
    like: torch.Tensor = node.meta["val"]
    return Edge(f"lowbit.scales.activations.{node.name}", torch.zeros(1, dtype=like.dtype), grid)


def _is_last(node: fx.Node) -> bool:
    """Whether the node is read as an output of the model alone, reshaped perhaps."""
    return all(reader.op == "output" or (reader.target in CARRIERS and _is_last(reader)) for reader in node.users)


def _nonnegative(node: Any) -> bool:
    """Whether no value of the node can be below zero."""
    if not isinstance(node, fx.Node) or node.op != "call_function":
        return False
    if node.target in RECTIFIERS:
        return True
    if node.target is _aten.add.Tensor:
        given = arguments(node)
        return given["alpha"] >= 0 and _nonnegative(given["self"]) and _nonnegative(given["other"])
    return node.target in CARRIERS | AVERAGES and _nonnegative(next(iter(arguments(node).values())))


def _already(match: Match) -> str:
    on_grid = any(reader.target is _own.fake_quantize.default for reader in match.root.users)
    return "the edge is on a grid already" if on_grid else ""


@rule(Planned(), _already)
def put(match: Match, edit: Edit) -> fx.Node:
    """x -> fake_quantize(x, exp2(log2_scale), 0, lo, hi, axis 0)."""
    edge: Edge = match.plan[match.root.name]
    scale = edit.call(_aten.exp2.default, edit.parameter(edge.name, edge.log2_scale))
    return edit.call(_own.fake_quantize.default, match.root, scale, 0, edge.grid.lo, edge.grid.hi, 0, edge.straight)


PASS = Pass(
    rules=(put,),
    law=OnGrid(),
    options=Settings,
    plan=plan,
    leaves=(weights_on_grid,),
    fires=(
        "conv(3) | insert_fake_quant",
        "conv(3) bn relu gap linear(4) | insert_fake_quant(per_channel=true)",
        "[ conv(3) ] + relu linear(4) | schedule_pruning | insert_fake_quant(weight_bits=3, activation_bits=5)",
    ),
    refuses={
        "conv(3) | insert_fake_quant": "the edge is on a grid already",
        "conv(3) | insert_fake_quant | eval | freeze | insert_fake_quant": "the edge is on a grid already",
    },
)
