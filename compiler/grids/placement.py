"""Placement: which values get a grid, of what width and sign, and which of them share one."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, replace

import torch
from torch import fx, nn

from ..contract import OptionsFor
from ..errors import UserError
from ..graph import Graph, layer, origin
from ..grid import Grid
from ..operators import GRIDS, JOINS
from ..quantizer import Edge, Quantizer
from ..quantizing import quantizer
from .below import HALF, share_below
from .declared import Integers
from .edges import Ends, is_product
from .sharing import Group, carried, floating, readers

SCALES = "lowbit.scales"
BYTE = 8
"""Bits of the widest grid whose zero is moved to where its values are; a wider one has integers to spare."""
_TAKEN = frozenset(dir(nn.Module()))
"""Names that no parameter can have, such as that of the call `to`."""


def _called(kind: str, node: fx.Node) -> str:
    """The name of a scale."""
    return f"{SCALES}.{kind}.{node.name}{'_' * (node.name in _TAKEN)}"


@dataclass(frozen=True)
class Known:
    """What the planning of each group looks at.

    streams: terms and sums of residual streams, and their width.   inputs: values that come as integers.
    divisors: values that others are divided by, and nothing else.
    """

    graph: Graph
    options: OptionsFor
    constants: Set[fx.Node]
    fused: Mapping[fx.Node, fx.Node]
    positive: Set[fx.Node]
    ends: Ends
    streams: Mapping[fx.Node, int]
    inputs: Mapping[fx.Node, Integers]
    divisors: Set[fx.Node]


def activations(known: Known, group: Group) -> Mapping[str, Edge]:
    """The edges of one group: none, or all with one scale."""
    members = [node for node in group.sources if _needs_grid(known, node)]
    if not members or all(node in known.constants for node in members):
        return {}
    fixed = {known.inputs[node] for node in members if node in known.inputs}
    if fixed:
        return _fixed(known, members, fixed)
    name = _name(known.graph, members)
    plain = _bits(known, members)
    divides = all(node in known.divisors for node in members)
    below = max(0.0 if node in known.positive else share_below(known.graph, node) for node in members)
    streams = [known.streams[node] for node in {*members, *group.carriers} if node in known.streams]
    apart = {node: _multiplying(known, node) for node in members}
    chosen = _quantizer(known, members, below > 0)
    if not streams or all(len(apart[node]) == len(readers(node)) for node in members):
        return {node.name: _edge(known, chosen, name, node, _grid(node, plain, below, divides)) for node in members}
    edge = {node: _edge(known, chosen, name, node, _grid(node, max(streams), below, divides)) for node in members}
    if max(streams) > plain:
        narrow = {
            node: _edge(known, chosen, _called("narrow", node), node, _grid(node, plain, below, divides))
            for node in members
            if apart[node]
        }
        edge |= {node: replace(edge[node], narrow=narrow[node], readers=apart[node]) for node in narrow}
    return {node.name: edge[node] for node in members}


def _grid(node: fx.Node, bits: int, below: float, divides: bool) -> Grid:
    """Without a zero for what divides, unless it can be negative.   below: the share of the range below zero.

    Raises UserError for 1 bit with a sign, whose integers are -1 and 0.
    """
    if bits == 1 and below:
        raise UserError(
            "a value that can be negative has no grid of 1 bit",
            where=str(origin(node)),
            why="its integers would be -1 and 0",
            fix="give it 2 bits or more, by layer perhaps, or put a ReLU in front",
        )
    if below == HALF or (below and bits > BYTE):
        return Grid(bits, signed=True)
    if below:
        return Grid(bits, signed=False, zero=max(1, round(below * (2**bits - 1))))
    return Grid(bits, signed=False, narrow=divides and bits > 1)


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
    return Edge(_called("inputs", node), scale, given.grid, None, given)


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
