"""Choosing among units: the graph with some of them, in another order, planned through all its calls and rebuilt."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, fx

from ..arrays import Floats, Integers
from ..edit import Edit
from ..graph import Graph, arguments, layer
from ..operators import TRANSPOSED, aten
from ..rule import Match
from .flow import Changes, Flow, Moved
from .groups import Layer, Units


@dataclass(frozen=True, eq=False)
class Chosen:
    """What becomes of a call, or of the weight of a layer.

    changes: arguments with another value.   picks: names of constants -> (axis, the positions that they keep).
    layer, outputs, inputs: of a weight, whose it is and the positions that it keeps.
    bias: of a layer, its new one, in float64, before the positions are picked; None: as it was.
    """

    changes: Changes = field(default_factory=dict)
    picks: Mapping[str, tuple[int, Integers]] = field(default_factory=dict)
    layer: Layer | None = None
    outputs: Integers | None = None
    inputs: Integers | None = None
    bias: Floats | None = None


@dataclass(frozen=True, eq=False)
class Choice:
    """The plan of a pass that chooses among units, by node name.

    chosen: what becomes of calls and weights.   kept: name of a weight -> why units of its layer stay as they are.
    """

    chosen: Mapping[str, Chosen]
    kept: dict[str, str]

    def __contains__(self, name: str) -> bool:
        return name in self.chosen or name in self.kept

    def refusal(self, name: str) -> str:
        """Why nothing is done at a node of the plan; nothing if something is."""
        return "" if name in self.chosen else self.kept[name]


class Conflict(Exception):
    """The choice cannot be: units must stay where they are.   units: their numbers."""

    def __init__(self, units: Integers) -> None:
        super().__init__("units cannot be chosen so")
        self.units = units


def choose(units: Units, wanted: Callable[[Integers], Integers]) -> Mapping[fx.Node, Chosen]:
    """The calls and weights that change, with what becomes of them.

    wanted: the units along the outputs of a weight -> the positions that it shall have, in order.
    Raises Conflict where the units cannot be chosen so, with those of every such place that does not follow on another.
    """
    plan: dict[fx.Node, Chosen] = {}
    sels: dict[fx.Node, Integers] = {}
    layers = {layer.call: layer for layer in units.layers}
    stuck: list[Integers] = []
    lost: set[fx.Node] = set()
    for node in units.of:
        if lost.isdisjoint(node.all_input_nodes):
            try:
                if node in layers:
                    _choose_layer(units, layers[node], wanted, sels, plan)
                else:
                    _choose_flow(units.flows[node], node, units, sels, plan)
                continue
            except Moved:
                stuck.append(_around(units, node))
        if node in layers:  # it makes channels anew
            sels[node] = wanted(units.of[node])
        else:
            lost.add(node)
    if stuck:
        raise Conflict(np.concatenate(stuck))
    return plan


def _around(units: Units, node: fx.Node) -> Integers:
    """The units of a call and of what it reads."""
    return np.concatenate([units.of[n] for n in (node, *node.all_input_nodes) if n in units.of])


def _choose_flow(
    found: Flow, node: fx.Node, units: Units, sels: dict[fx.Node, Integers], plan: dict[fx.Node, Chosen]
) -> None:
    if not any(operand in sels for operand in found.operands):
        return
    given = [sels.get(operand, np.arange(len(units.of[operand]))) for operand in found.operands]
    sel, changes = found.chosen(given)
    sels[node] = sel
    plan[node] = Chosen(changes, {name: (axis, sel) for name, axis in found.constants.items()})


def _choose_layer(
    units: Units,
    layer: Layer,
    wanted: Callable[[Integers], Integers],
    sels: dict[fx.Node, Integers],
    plan: dict[fx.Node, Chosen],
) -> None:
    call = layer.call
    every = np.arange(layer.inputs)
    inputs = every if units.read_by(layer) is None else sels.get(arguments(call)["input"], every)
    outputs = wanted(units.of[call])
    same = len(inputs) == layer.inputs and len(outputs) == layer.outputs
    if same and bool((inputs == every).all() and (outputs == np.arange(layer.outputs)).all()):
        return
    count = _groups_left(layer, inputs, outputs)
    known = plan.setdefault(layer.grid, Chosen(layer=layer, outputs=outputs, inputs=inputs))
    if not (_equal(known.inputs, inputs) and _equal(known.outputs, outputs)):
        raise Moved("calls that share a weight would read it in different orders")
    plan[call] = Chosen({"groups": count} if "groups" in arguments(call) else {}, {"bias": (0, outputs)})
    sels[call] = outputs


def _equal(a: Integers | None, b: Integers) -> bool:
    return a is not None and np.array_equal(a, b)


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


def stays(match: Match) -> str:
    """The guard of the passes that choose: why nothing is done at a node of their plan."""
    plan: Choice = match.plan
    return plan.refusal(match.root.name)


def rebuild(plan: Choice, node: fx.Node, graph: Graph, edit: Edit) -> fx.Node:
    """The call with the channels chosen; what it reads has been rebuilt already."""
    chosen = plan.chosen[node.name]
    if chosen.layer is not None:
        return _weight(plan, chosen, node, graph, edit)
    changes = dict(chosen.changes)
    for name, (axis, positions) in chosen.picks.items():
        new = _constant(arguments(node)[name], axis, positions, chosen.bias if name == "bias" else None, node, graph)
        if new is not None:
            source = arguments(node)[name]
            changes[name] = edit.buffer(str(source.target) if source is not None else f"{layer(node)}.bias", new)
    if node.target is operator.getitem:
        return edit.item(node.args[0], node.args[1])  # type: ignore[arg-type]
    if "split_sizes" in changes:
        x, dim = next(iter(arguments(node).values())), arguments(node)["dim"]
        return edit.call(aten.split_with_sizes.default, x, changes["split_sizes"], dim)
    return edit.like(node, **changes)


def _constant(
    source: fx.Node | None, axis: int, positions: Integers, bias: Floats | None, node: fx.Node, graph: Graph
) -> Tensor | None:
    """A parameter or buffer at these positions, or a new bias at them."""
    if bias is not None:
        like: Tensor = node.meta["val"]
        return torch.from_numpy(bias[positions]).to(like.dtype)
    if source is None:
        return None
    value = graph.tensor(source)
    return value.index_select(axis, torch.from_numpy(positions).to(value.device))


def _weight(plan: Choice, chosen: Chosen, node: fx.Node, graph: Graph, edit: Edit) -> fx.Node:
    assert chosen.layer is not None
    assert chosen.inputs is not None
    assert chosen.outputs is not None
    given = arguments(node)
    codes = picked(chosen.layer, graph.tensor(given["codes"]), chosen.outputs, chosen.inputs)
    new = {"codes": edit.buffer(str(given["codes"].target), codes)}
    if (old := given["codes"].name) in plan.kept:  # the reason stands by the weight that takes its place
        plan.kept[new["codes"].name] = plan.kept[old]
    scale = graph.tensor(given["scale"])
    if scale.numel() > 1:
        new["scale"] = edit.buffer(str(given["scale"].target), scale[torch.from_numpy(chosen.outputs)])
    return edit.like(node, **new)


def picked(layer: Layer, codes: Tensor, outputs: Integers, inputs: Integers) -> Tensor:
    """A layer's weight at these positions of its outputs and inputs, of which each group keeps its own."""
    groups, rows, columns, _ = layer.blocks.shape
    transposed, kernel = layer.call.target in TRANSPOSED, codes.shape[2:]
    blocks = codes.reshape(groups, columns if transposed else rows, -1, *kernel)
    blocks = blocks.swapaxes(1, 2) if transposed else blocks
    ins = torch.from_numpy(inputs.reshape(1 if groups == 1 else -1, len(inputs) if groups == 1 else columns))
    outs = torch.from_numpy(outputs.reshape(len(ins), -1))
    new = blocks[(ins[:, :1] // columns)[:, :, None], (outs % rows)[:, :, None], (ins % columns)[:, None, :]]
    new = new.swapaxes(1, 2) if transposed else new
    return new.reshape(-1, new.shape[2], *kernel).contiguous()
