"""Placement: which values and weights get a grid, of what width and sign, and which of them share one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import fx, nn

from ..contract import OptionsFor
from ..errors import UserError
from ..graph import Graph, arguments, layer, origin
from ..grid import Grid
from ..layers import MASKS, is_transform, weight_of, weights_read
from ..operators import GRIDS, JOINS, aten
from ..quantizer import Edge, Quantizer
from ..quantizing import quantizer
from .declared import Integers
from .edges import Ends, is_product
from .sharing import Group, carried, floating, readers

SCALES = "lowbit.scales"
_TAKEN = frozenset(dir(nn.Module()))
"""Names that no parameter can have, such as that of the call `to`."""


def _called(kind: str, node: fx.Node) -> str:
    """The name of a scale."""
    return f"{SCALES}.{kind}.{node.name}{'_' * (node.name in _TAKEN)}"


@dataclass(frozen=True)
class Known:
    """What the planning of each group looks at.

    streams: terms and sums of residual streams, and their width.   inputs: values that come as integers.
    """

    graph: Graph
    options: OptionsFor
    constants: Set[fx.Node]
    fused: Mapping[fx.Node, fx.Node]
    positive: Set[fx.Node]
    ends: Ends
    streams: Mapping[fx.Node, int]
    inputs: Mapping[fx.Node, Integers]


def activations(known: Known, group: Group) -> Mapping[str, Edge]:
    """The edges of one group: none, or all with one scale."""
    members = [node for node in group.sources if _needs_grid(known, node)]
    if not members or all(node in known.constants for node in members):
        return {}
    fixed = {known.inputs[node] for node in members if node in known.inputs}
    if fixed:
        return _fixed(known, members, fixed)
    name = _name(known.graph, members)
    signed = any(node not in known.positive for node in members)
    plain = _bits(known, members)
    streams = [known.streams[node] for node in {*members, *group.carriers} if node in known.streams]
    apart = {node: _multiplying(known, node) for node in members}
    chosen = _quantizer(known, members, signed)
    if not streams or all(len(apart[node]) == len(readers(node)) for node in members):
        return {node.name: _edge(known, chosen, name, node, Grid(plain, signed)) for node in members}
    edge = {node: _edge(known, chosen, name, node, Grid(max(streams), signed)) for node in members}
    if max(streams) > plain:
        narrow = {
            node: _edge(known, chosen, _called("narrow", node), node, Grid(plain, signed))
            for node in members
            if apart[node]
        }
        edge |= {node: replace(edge[node], narrow=narrow[node], readers=apart[node]) for node in narrow}
    return {node.name: edge[node] for node in members}


def _needs_grid(known: Known, node: fx.Node) -> bool:
    if node in known.constants and node.op == "call_function" and node.target in GRIDS:
        return False
    tensor = isinstance(node.meta.get("val"), torch.Tensor) and floating(node)
    if not tensor or node.target in GRIDS or node in known.fused or not readers(node):
        return False
    return node not in known.ends.outputs or bool(known.options(layer(node)).quantize_outputs)


def _fixed(known: Known, members: list[fx.Node], given: Set[Integers]) -> Mapping[str, Edge]:
    """The edges of inputs that are integers. Raises UserError where others would have to lie on their grid."""
    trained = [node for node in members if node not in known.inputs]
    if trained or len(given) > 1:
        other = trained[0] if trained else members[-1]
        raise UserError(
            f"input '{members[0].name}' comes as integers and must share its grid",
            where=str(origin(other)),
            why="it is joined with values on another scale",
            fix="leave the input out of `inputs`, to be calibrated, or let a layer read it before it is joined",
        )
    (chosen,) = given
    return {node.name: _fixed_edge(node, chosen) for node in members}


def _fixed_edge(node: fx.Node, given: Integers) -> Edge:
    scale = torch.full((1,), given.scale, dtype=node.meta["val"].dtype)
    return Edge(_called("inputs", node), scale, given.grid, None, given, given.zero)


def _quantizer(known: Known, members: list[fx.Node], signed: bool) -> Quantizer:
    """That of the first member; inputs, outputs and what can be negative need one for any values."""
    chosen = quantizer(known.options(layer(members[0])).activations)
    hidden = not any(node.op == "placeholder" or node in known.ends.outputs for node in members)
    return chosen if chosen.signed or (hidden and not signed) else quantizer("learned")


def _edge(known: Known, quantizer: Quantizer, name: str, node: fx.Node, grid: Grid) -> Edge:
    first = torch.ones(1, dtype=node.meta["val"].dtype)
    return Edge(name, first, grid, quantizer, known.options(layer(node)), straight=node.op == "get_attr")


def _name(graph: Graph, members: list[fx.Node]) -> str:
    """The name of the first member; where there are two graphs, of the first that both have."""
    names = [_called("activations", node) for node in members]
    in_state = [name for name in names if name in graph.state]
    twin = {node.name for node in graph.twin.nodes} if graph.twin is not None else set()
    in_both = [name for name, node in zip(names, members, strict=True) if node.name in twin]
    return (*in_state, *in_both, *names)[0]


def _bits(known: Known, members: list[fx.Node]) -> int:
    """The most that a member asks for; a value that is read inside of the model too is not an output's."""
    inside = [node for node in members if node not in known.ends.outputs]
    return max(_width(known, node) for node in inside or members)


def _width(known: Known, node: fx.Node) -> int:
    chosen = known.options(layer(node))
    width: int = chosen.activation_bits
    if node.op == "placeholder":
        width = chosen.input_bits
    elif node in known.ends.outputs:
        width = chosen.output_bits
    elif node in known.ends.before_last and chosen.last_bits is not None:
        width = chosen.last_bits
    return width


def _multiplying(known: Known, node: fx.Node) -> frozenset[str]:
    """The readers that multiply the value, behind reshapes perhaps: what need not be as fine as a sum."""
    found = [
        reader
        for reader in readers(node)
        if is_product(reader) or (reader in known.ends.multiplied and reader.target not in JOINS and carried(reader))
    ]
    return frozenset(reader.name for reader in found)


def weights(known: Known) -> Mapping[str, Edge]:
    """The edges of all weights; the table of an embedding is one."""
    calls: dict[fx.Node, list[tuple[fx.Node, int | None]]] = {}
    for node in known.graph.nodes:
        for weight, axis in weights_read(node, known.constants):
            if weight.target not in GRIDS:
                calls.setdefault(weight, []).append((node, axis))
    return {weight.name: _weight_edge(known, weight, read) for weight, read in calls.items()}


def _weight_edge(known: Known, weight: fx.Node, calls: list[tuple[fx.Node, int | None]]) -> Edge:
    source = weight_of(weight)
    if source is None:
        where = str(layer(calls[0][0]))
        raise UserError("a weight is computed from other values", where=where, fix="make it a parameter")
    chosen = known.options(layer(source))
    axes = {axis for _, axis in calls}
    axis = axes.pop() if chosen.per_channel and len(axes) == 1 else None
    ends = [chosen.first_bits] * any(call in known.ends.first for call, _ in calls)
    ends += [chosen.last_bits] * any(call in known.ends.last for call, _ in calls)
    bits = max((bits for bits in ends if bits is not None), default=chosen.weight_bits)
    how = quantizer(chosen.weights)
    if any(ends) and not how.least <= bits <= how.most:
        how = quantizer("learned")
    grid = how.weight_grid(bits)
    _check(weight, how, chosen, grid, calls[0][0])
    scale = how.start(known.graph.evaluate(weight), grid, axis)
    name = f"{SCALES}.weights.{source.target}"
    return Edge(name, scale, grid, how, chosen, axis=axis, owned=True, straight=how.straight)


def _check(weight: fx.Node, how: Quantizer, chosen: Any, grid: Grid, call: fx.Node) -> None:
    """Raises UserError for a grid that the quantizer, or what the weight is multiplied by, does not go with."""
    where = str(origin(call))
    if not how.least <= grid.bits <= how.most:
        what = f"'{chosen.weights}' quantizes weights to {_span(how)}, not {grid.bits}"
        raise UserError(what, where=where, fix="choose another width, or another quantizer")
    factors = list(_factors(weight))
    if grid.odd and any(str(factor.target).startswith(MASKS) for factor in factors):
        raise UserError(
            "a pruned weight is on a grid without a zero",
            where=where,
            why=f"'{chosen.weights}' at {grid.bits} bits has the odd multiples of a scale alone",
            fix="choose another quantizer of weights for the layer, more bits, or pruned = false",
        )
    if any(not str(factor.target).startswith(MASKS) for factor in factors) and not how.keeps_size(chosen):
        raise UserError(
            "the simulated fold of a batch norm is undone",
            where=where,
            why=f"'{chosen.weights}' brings every weight into [-1, 1], whatever it was multiplied by",
            fix='say weight_range = "max", or leave simulate_fold out: the norm is folded after training in any case',
        )


def _span(how: Quantizer) -> str:
    return f"{how.least} bits" if how.least == how.most else f"{how.least} to {how.most} bits"


def _factors(weight: fx.Node) -> Iterator[fx.Node]:
    """What a weight is multiplied by before its grid: masks and factors of norms."""
    while weight.target is aten.mul.Tensor or is_transform(weight):
        weight, *factors = (operand for operand in arguments(weight).values() if isinstance(operand, fx.Node))
        yield from factors
