"""Units: the hidden channels of a network, found as connected components of the positions that must go together.

A unit is what a row of a weight computes, wherever it is read: through activations, sums, concatenations and reshapes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from torch import fx

from ..arrays import Integers
from ..graph import Graph, arguments
from ..layers import channel_axis, channels, groups, is_layer
from ..operators import TRANSPOSED, aten, own
from ..text import target_name
from .flow import Flow, flow


@dataclass(frozen=True, eq=False)
class Layer:
    """A layer whose weight is constant, integers in a frozen graph, as `weights_of` finds it.

    call: the layer.   grid: the dequantize call, or in training the parameter, that is its weight.
    blocks: (groups, outputs, inputs, taps).
    """

    call: fx.Node
    grid: fx.Node
    blocks: Integers

    @property
    def inputs(self) -> int:
        """The number of its input channels, or of its columns."""
        return int(self.blocks.shape[0] * self.blocks.shape[2])

    @property
    def outputs(self) -> int:
        return int(self.blocks.shape[0] * self.blocks.shape[1])

    @cached_property
    def alive(self) -> Integers:
        """Whether an output has any weight for an input of its group: bool (groups, outputs, inputs)."""
        return np.asarray(self.blocks.any(3))


@dataclass(frozen=True, eq=False)
class Units:
    """The units of a graph, numbered from 0.

    layers: those whose units are known, in order.   flows: what every other call does with channels.
    axes, of: value -> its channel axis, and the unit at each position along it.   count: of units.
    fixed: of each unit, why it may neither go nor move, or "".   whole: why it may not go, or "".
    kinds: of each unit a number; units of one kind take the same places in all values, so they may change places.
    """

    layers: tuple[Layer, ...]
    flows: Mapping[fx.Node, Flow]
    axes: Mapping[fx.Node, int]
    of: Mapping[fx.Node, Integers]
    count: int
    fixed: Integers
    whole: Integers
    kinds: Integers

    def read_by(self, layer: Layer) -> Integers | None:
        """The units along the inputs of a layer; None if it reads its input along another axis than theirs."""
        x = arguments(layer.call)["input"]
        return self.of[x] if self.axes.get(x) == channel_axis(layer.call) else None


@dataclass
class _Draft:
    """What is found on the way through the graph: ids, later joined to units."""

    axes: dict[fx.Node, int] = field(default_factory=dict)
    of: dict[fx.Node, Integers] = field(default_factory=dict)
    flows: dict[fx.Node, Flow] = field(default_factory=dict)
    layers: list[Layer] = field(default_factory=list)
    outputs: dict[fx.Node, Integers] = field(default_factory=dict)
    ties: list[tuple[Integers, Integers]] = field(default_factory=list)
    fixed: list[tuple[Integers, str]] = field(default_factory=list)
    whole: list[tuple[Integers, str]] = field(default_factory=list)
    places: list[tuple[Integers, Integers]] = field(default_factory=list)
    count: int = 0

    def fresh(self, size: int) -> Integers:
        self.count += size
        return np.arange(self.count - size, self.count)

    def tie(self, a: Integers, b: Integers) -> None:
        if a is not b:
            self.ties.append((a, b))

    def place(self, ids: Integers, blocks: int = 1) -> None:
        """Units may change places within these positions, and within each of the blocks."""
        self.places.append((ids, np.repeat(np.arange(blocks), len(ids) // blocks)))


def units(graph: Graph, layer_of: Callable[[Graph, fx.Node], Layer | None] | None = None) -> Units:
    """The units of a graph, in time linear in its nodes and channels.

    layer_of: the layer of a call, or None where its units are not to be known; `weights_of` for a frozen graph.
    """
    layer_of = layer_of or weights_of
    draft = _Draft()
    shared: dict[fx.Node, tuple[Integers, Integers]] = {}
    for node in graph.fx.nodes:
        if node.op == "output":
            _pin_readers(draft, node, "it is an output of the model")
        elif is_layer(node) and (layer := layer_of(graph, node)) is not None:
            _take_layer(draft, layer, shared)
        elif (found := flow(node, draft.axes)) is not None:
            _take_flow(draft, node, found)
        elif node.target is not aten.sym_size.int:  # capture asks for sizes of the batch alone; others are numbers
            _pin_readers(draft, node, f"it is not known where {target_name(node.target)} takes it")
    return _joined(draft)


def weights_of(graph: Graph, call: fx.Node) -> Layer | None:
    """The layer of a call, if its weight is constant integers whose scales lie along its outputs."""
    grid: fx.Node = arguments(call)["weight"]
    if grid.target is not own.dequantize.default:
        return None
    given, bias = arguments(grid), arguments(call)["bias"]
    plain = all(part is None or part.op == "get_attr" for part in (given["codes"], given["scale"], bias))
    if not plain or given["zero"] or given["axis"]:
        return None
    codes = graph.tensor(given["codes"]).detach().cpu().numpy().astype(np.int32, copy=False)
    if (scale := graph.tensor(given["scale"])).numel() > 1 and call.target in TRANSPOSED:
        return None
    live = (scale > 0).cpu().numpy().reshape(-1, *[1] * (codes.ndim - 1))
    return Layer(call, grid, in_blocks(call, codes if live.all() else codes * live))


def in_blocks(call: fx.Node, codes: Integers) -> Integers:
    """A layer's weight as (groups, outputs, inputs, taps): the outputs and inputs of each group."""
    count = groups(call)
    if call.target in TRANSPOSED:
        return codes.reshape(count, codes.shape[0] // count, codes.shape[1], -1).swapaxes(1, 2)
    return codes.reshape(count, codes.shape[0] // count, codes.shape[1], -1)


def _take_layer(draft: _Draft, layer: Layer, shared: dict[fx.Node, tuple[Integers, Integers]]) -> None:
    """Its inputs and outputs; calls that share a weight share both."""
    call, x = layer.call, arguments(layer.call)["input"]
    known = draft.axes.get(x) == channel_axis(call)
    if not known:
        _pin_readers(draft, call, "it is read along another axis")
    inputs = draft.of[x] if known else draft.fresh(layer.inputs)
    if not known:
        draft.fixed.append((inputs, "it is an input of the model"))
    first = layer.grid not in shared
    outputs = draft.fresh(channels(call)) if first else shared[layer.grid][1]
    shared.setdefault(layer.grid, (inputs, outputs))
    draft.tie(shared[layer.grid][0], inputs)
    draft.axes[call], draft.of[call] = channel_axis(call), outputs
    draft.layers.append(layer)
    _take_groups(draft, layer, inputs, outputs)


def _take_groups(draft: _Draft, layer: Layer, inputs: Integers, outputs: Integers) -> None:
    count, rows, columns, _ = layer.blocks.shape
    if count == 1 or columns > 1:
        draft.place(outputs, count)
    if count > 1 and columns > 1:
        draft.place(inputs, count)
        for ids in (inputs, outputs):
            draft.whole.append((ids, "the groups of a convolution must have the same number of channels"))
    elif count > 1:
        draft.place(outputs)
        draft.tie(np.repeat(inputs, rows), outputs)


def _take_flow(draft: _Draft, node: fx.Node, found: Flow) -> None:
    marks = [draft.of[operand] for operand in found.operands]
    if found.joined:
        for other in marks[1:]:
            draft.tie(marks[0], other)
    draft.flows[node], draft.axes[node] = found, found.axis
    draft.of[node] = found.source(marks)
    if draft.of[node] is not marks[0] and len(draft.of[node]) != sum(map(len, marks)):
        draft.place(draft.of[node])
    if found.whole:
        draft.whole.append((marks[0], f"{node.name} needs all of its channels"))


def _pin_readers(draft: _Draft, node: fx.Node, reason: str) -> None:
    for operand in node.all_input_nodes:
        if operand in draft.of:
            draft.fixed.append((draft.of[operand], reason))


def _joined(draft: _Draft) -> Units:
    """Ids that are tied become one unit."""
    root = components(draft.count, draft.ties)
    names, unit = np.unique(root, return_inverse=True)
    of: dict[fx.Node, Integers] = {}
    seen: dict[int, Integers] = {}
    for node, ids in draft.of.items():
        of[node] = seen.setdefault(id(ids), unit[ids])
    fixed, whole = (_reasons(len(names), unit, marked) for marked in (draft.fixed, draft.whole))
    kinds = _kinds(len(names), unit, draft.places)
    return Units(tuple(draft.layers), draft.flows, draft.axes, of, len(names), fixed, whole, kinds)


def components(count: int, ties: list[tuple[Integers, Integers]]) -> Integers:
    """The least id of each id's component: larger roots hang below smaller ones until no tie crosses."""
    root = np.arange(count)
    if not ties:
        return root
    a, b = (np.concatenate(side) for side in zip(*ties, strict=True))
    while True:
        left, right = root[a], root[b]
        crossing = left != right
        if not crossing.any():
            return root
        a, b, left, right = a[crossing], b[crossing], left[crossing], right[crossing]
        np.minimum.at(root, np.maximum(left, right), np.minimum(left, right))
        while (root[root] != root).any():
            root = root[root]


def _reasons(count: int, unit: Integers, marked: list[tuple[Integers, str]]) -> Integers:
    """Why each unit is bound, or "": an array of text."""
    found = np.full(count, "", dtype=object)
    for ids, reason in reversed(marked):
        found[unit[ids]] = reason
    return found


def _kinds(count: int, unit: Integers, places: list[tuple[Integers, Integers]]) -> Integers:
    """The sum of a random number of each place that a unit takes: what takes the same ones has the same sum."""
    total, random = np.zeros(count, dtype=np.int64), np.random.default_rng(0)
    for ids, blocks in places:
        numbers = random.integers(2**48, size=int(blocks.max(initial=0)) + 1)
        np.add.at(total, unit[ids], numbers[blocks])
    return np.unique(total, return_inverse=True)[1].reshape(-1)
