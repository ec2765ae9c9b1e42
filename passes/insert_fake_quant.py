"""Put a grid on every edge that the target holds as integers: weights, inputs, activations and outputs.

    y = fake_quantize(x, scale),   where a quantizer says how x and the scale come about, see `compiler/quantizers`:
    of `learned`, scale = exp2(log2_scale), a parameter, at first the MSQE-optimal one of the weights

A value that only feeds what is computed with it before any rounding gets no grid of its own: a batch norm, a factor
or a bias behind a layer, moves between the two, a clamp such as ReLU behind anything. What only picks or moves values
(reshapes, slices, padding, maximum pooling, nearest upsampling, dropout) carries the grid of its input, and what
chooses among several (concatenation, maximum) holds them to one grid, whose scale is one parameter, by the name of
the first. A grid is unsigned where none of its values can be negative; without a zero then if others are divided by
them, where a sum with a number of at most 1e-3 is taken to be positive. Behind a function that falls less far below
zero than it rises, such as a leaky rectifier, SiLU, GELU, ELU, Hardswish or Mish, a grid of up to 8 bits has a zero
point, with as many integers below zero as the function needs. Weights use one scale a layer (Choi et al.
2020) or one for each output channel, on a symmetric narrow grid or on the quantizer's own; a grouped transposed
convolution, a weight that is read along two axes and the table of an embedding have one scale in any case.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import replace
from typing import Annotated

import torch
from msgspec import Meta
from torch import fx

from ..compiler.contract import OnGrid, OptionsFor, Pass
from ..compiler.dataless import dataless
from ..compiler.edit import Edit
from ..compiler.facts import weights_on_grid
from ..compiler.graph import Graph, layer, shape
from ..compiler.grids.declared import Bits, Integers, declared
from ..compiler.grids.divisors import divisors
from ..compiler.grids.edges import ends, fused, nonnegative
from ..compiler.grids.placement import Known, activations
from ..compiler.grids.sharing import floating, groups
from ..compiler.grids.weights import weights
from ..compiler.layers import is_transform
from ..compiler.operators import ADDITIONS, CONCATENATIONS
from ..compiler.pattern import Planned
from ..compiler.quantizer import Edge, quantized
from ..compiler.quantizing import BY_LAYER, Quantizing
from ..compiler.rule import Match, rule

_own = torch.ops.lowbit

WeightBits = Annotated[int, Meta(ge=1, le=16)]


class Settings(Quantizing, frozen=True):
    """Widths of the grids, in bits; what is not given is as of the others.

    weight_bits, activation_bits, input_bits, output_bits: of weights, hidden values, what comes in and what goes out.
    first_bits, last_bits: weights of layers that an input reaches, or that reach an output, through no other layer;
    the latter also of the activations that only such layers read; where the quantizer of weights has no such width they
    are "learned".   residual_bits: sums of two activations of one shape, and their terms; layers read them through a
    second grid of activation_bits.   per_channel: one weight scale for each output channel instead of one a layer.
    share_add: the terms of a sum lie on one grid.   join_bits: what is concatenated has grids of its own, and the whole
    another, of so many bits; without, all lie on one.
    quantize_outputs: false leaves outputs in float, for training alone.   inputs: pattern of input names -> what their
    integers stand for, such as inputs.image = { scale = 0.00392 } of an image in 0..255; they are not trained.
    """

    weight_bits: WeightBits = 8
    activation_bits: Bits = 8
    input_bits: Bits = 8
    output_bits: Bits = 16
    first_bits: WeightBits | None = None
    last_bits: WeightBits | None = None
    residual_bits: Bits | None = None
    join_bits: Bits | None = None
    per_channel: bool = False
    share_add: bool = False
    quantize_outputs: bool = True
    inputs: dict[str, Integers] = {}  # noqa: RUF012  msgspec copies it

    by_layer = frozenset(
        {"weight_bits", "activation_bits", "output_bits", "first_bits", "last_bits", "residual_bits", "per_channel"}
        | {"join_bits", "share_add", "quantize_outputs"}
        | BY_LAYER
    )


def plan(graph: Graph, options: OptionsFor) -> Mapping[str, Edge]:
    """Node name -> grid, for every weight and every activation that needs one."""
    constants = graph.constants()
    still = constants | dataless(graph)
    together = fused(graph, still)
    sums = [node for node in graph.nodes if node.target in ADDITIONS and _joins_streams(node, constants)]
    joins = {node: options(layer(node)).join_bits for node in graph.nodes if node.target in CONCATENATIONS}
    apart = {node: bits for node, bits in joins.items() if bits is not None}
    streams = {**apart, **_streams(sums, options, together)}
    inputs = declared(graph, options("").inputs)
    known = Known(graph, options, still, together, nonnegative(graph), ends(graph), streams, inputs, divisors(graph))
    ties = [(a, b) for node in sums if options(layer(node)).share_add for a, b in [_terms(node, constants)]]
    edges: dict[str, Edge] = dict(weights(replace(known, constants=constants)))
    for group in groups(graph, alone={*together.values(), *apart}, ties=ties):
        edges.update({name: edge for name, edge in activations(known, group).items() if name not in edges})
    return edges


def _terms(node: fx.Node, constants: Set[fx.Node]) -> list[fx.Node]:
    return [operand for operand in node.all_input_nodes if operand not in constants and floating(operand)]


def _joins_streams(node: fx.Node, constants: Set[fx.Node]) -> bool:
    """Whether it is a sum of two activations of one shape."""
    terms = _terms(node, constants)
    return len(terms) == 2 and shape(terms[0]) == shape(terms[1])


def _streams(sums: list[fx.Node], options: OptionsFor, together: Mapping[fx.Node, fx.Node]) -> Mapping[fx.Node, int]:
    found: dict[fx.Node, int] = {}
    for node in sums:
        bits, total = options(layer(node)).residual_bits, node
        while total in together:
            total = together[total]
        if bits is not None:
            found.update(dict.fromkeys([*_terms(node, set()), total], bits))
    return found


def _already(match: Match) -> str:
    readers = set(match.root.users)
    read = readers | {further for reader in readers if is_transform(reader) for further in reader.users}
    return "the edge is on a grid already" if any(node.target is _own.fake_quantize.default for node in read) else ""


@rule(Planned(), _already)
def put(match: Match, edit: Edit) -> fx.Node:
    """x -> fake_quantize(x, scale, zero, lo, hi, axis), and for some readers a second one behind it."""
    edge: Edge = match.plan[match.root.name]
    if (share := getattr(edge.options, "freeze_bits", 1.0)) < 1:
        edge = replace(edge, freeze_at=match.step_at(share, "insert_fake_quant.freeze_bits"))
    rounded = quantized(edit, match.root, edge)
    if edge.narrow is not None:
        narrow = quantized(edit, rounded, edge.narrow)
        for reader in [reader for reader in match.root.users if reader.name in edge.readers]:
            edit.divert(reader, narrow)
    return rounded


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
        "conv(3) relu [ conv(2) ] cat maxpool [ conv(5) tanh ] cat conv(2) | insert_fake_quant(per_channel=true)",
        "conv(4) relu [ conv(4) bn ] + relu [ conv(4) ] + gap linear(2)"
        " | insert_fake_quant(residual_bits=12, first_bits=5, last_bits=4)",
        "tconv(4) hardswish halves [ sigmoid ] * upsample [ conv(2) ] + conv(3) | insert_fake_quant(share_add=true)",
        "conv(3) relu [ conv(3) ] cat tanh [ conv(6) ] cat conv(2) | insert_fake_quant(join_bits=12)",
        "conv(4) swap bn relu6 [ conv(4) ] cat bn(noaffine) relu linear(3) | insert_fake_quant",
        "conv(3) relu linear(4) | insert_fake_quant(weight_bits=1, weights='lsq', activations='pact')",
        "conv(3) relu linear(4) | insert_fake_quant(weight_bits=1, weights='binary', activations='power_of_two')",
        'conv(2) relu | insert_fake_quant(inputs={"*"={scale=0.25, bits=4, signed=true}}, quantize_outputs=false)',
    ),
    refuses={
        "conv(3) | insert_fake_quant": "the edge is on a grid already",
        "conv(3) | insert_fake_quant | eval | freeze | insert_fake_quant": "the edge is on a grid already",
    },
)
