"""Choosing among units: the graph with some of them, in another order, planned through all its calls."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from torch import fx

from ..arrays import Integers
from ..graph import arguments
from .choice import Call, Chosen, Weight
from .flow import Moved
from .groups import Layer, Units


class Conflict(Exception):
    """The choice cannot be: units must stay where they are.   units: their numbers."""

    def __init__(self, units: Integers) -> None:
        super().__init__("units cannot be chosen so")
        self.units = units


@dataclass
class _Walk:
    """The way through the graph, in its order.

    wanted: the units along the outputs of a weight -> the positions that it shall have, in order.
    positions: of each value so far that changes, those that it has.   plan: what becomes of calls and weights.
    lost: values of which nothing is known since a call before them cannot be made.
    """

    units: Units
    wanted: Callable[[Integers], Integers]
    positions: dict[fx.Node, Integers] = field(default_factory=dict)
    plan: dict[fx.Node, Chosen] = field(default_factory=dict)
    lost: set[fx.Node] = field(default_factory=set)


def choose(units: Units, wanted: Callable[[Integers], Integers]) -> Mapping[fx.Node, Chosen]:
    """The calls and weights that change, with what becomes of them.

    wanted: the units along the outputs of a weight -> the positions that it shall have, in order.
    Raises Conflict where the units cannot be chosen so, with those of every such place that does not follow on another.
    """
    walk, stuck = _Walk(units, wanted), list[Integers]()
    layers = {layer.call: layer for layer in units.layers}
    for node in units.of:
        layer = layers.get(node)
        if walk.lost.isdisjoint(node.all_input_nodes):
            try:
                if layer:
                    _through_layer(walk, layer)
                else:
                    _through_flow(walk, node)
                continue
            except Moved:
                stuck.append(_around(units, node))
        if layer:  # it makes channels anew
            walk.positions[node] = wanted(units.of[node])
        else:
            walk.lost.add(node)
    if stuck:
        raise Conflict(np.concatenate(stuck))
    return walk.plan


def _around(units: Units, node: fx.Node) -> Integers:
    """The units of a call and of what it reads."""
    return np.concatenate([units.of[n] for n in (node, *node.all_input_nodes) if n in units.of])


def _through_flow(walk: _Walk, node: fx.Node) -> None:
    found = walk.units.flows[node]
    if not any(operand in walk.positions for operand in found.operands):
        return
    given = [walk.positions.get(operand, np.arange(len(walk.units.of[operand]))) for operand in found.operands]
    positions, changes = found.chosen(given)
    walk.positions[node] = positions
    walk.plan[node] = Call(changes, {name: (axis, positions) for name, axis in found.constants.items()})


def _through_layer(walk: _Walk, layer: Layer) -> None:
    call, given = layer.call, arguments(layer.call)
    every = np.arange(layer.inputs)
    inputs = every if walk.units.read_by(layer) is None else walk.positions.get(given["input"], every)
    outputs = walk.wanted(walk.units.of[call])
    if np.array_equal(inputs, every) and np.array_equal(outputs, np.arange(layer.outputs)):
        return
    count = _groups_left(layer, inputs, outputs)
    weight = walk.plan.setdefault(layer.grid, Weight(layer, outputs, inputs))
    assert isinstance(weight, Weight)
    if not (np.array_equal(weight.inputs, inputs) and np.array_equal(weight.outputs, outputs)):
        raise Moved("calls that share a weight would read it in different orders")
    walk.plan[call] = Call({"groups": count} if "groups" in given else {}, {"bias": (0, outputs)})
    walk.positions[call] = outputs


def _groups_left(layer: Layer, inputs: Integers, outputs: Integers) -> int:
    """How many groups are left. Raises Moved where a group would read or make channels of another one."""
    groups, rows, columns, _ = layer.blocks.shape
    if groups == 1:
        return 1
    count = len(inputs) // int(columns)
    owner = inputs.reshape(count, columns) // columns
    if len(outputs) != count * rows or not (outputs.reshape(count, rows) // rows == owner[:, :1]).all():
        raise Moved("groups of channels would be taken apart")
    if not (owner == owner[:, :1]).all():
        raise Moved("channels would move from one group to another")
    return count
