"""Choice: what becomes of each call and weight when units go or change places, and how it is built anew."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import torch
from torch import Tensor, fx

from ..arrays import Floats, Integers
from ..edit import Edit
from ..graph import Graph, arguments, layer
from ..operators import TRANSPOSED, aten
from ..rule import Match
from .flow import Changes
from .groups import Layer


@dataclass(frozen=True, eq=False)
class Call:
    """What becomes of a call.

    changes: arguments with another value.   picks: names of constants -> (axis, the positions that they keep).
    bias: of a layer, its new one, float64 (outputs that are left,); None: as it was.
    """

    changes: Changes = field(default_factory=dict)
    picks: Mapping[str, tuple[int, Integers]] = field(default_factory=dict)
    bias: Floats | None = None

    def rebuilt(self, node: fx.Node, graph: Graph, edit: Edit) -> fx.Node:
        if node.target is operator.getitem:
            return edit.item(node.args[0], node.args[1])  # type: ignore[arg-type]
        given, changed = arguments(node), dict(self.changes)
        for name, (axis, positions) in self.picks.items():
            if (source := given[name]) is not None:
                value = graph.tensor(source)
                kept = value.index_select(axis, torch.from_numpy(positions).to(value.device))
                changed[name] = edit.buffer(str(source.target), kept)
        if self.bias is not None:
            name = f"{layer(node)}.bias" if given["bias"] is None else str(given["bias"].target)
            changed["bias"] = edit.buffer(name, torch.from_numpy(self.bias).to(_like(node)))
        if "split_sizes" in changed:  # whatever kind of split it was, the parts may now differ in size
            x = next(iter(given.values()))
            return edit.call(aten.split_with_sizes.default, x, changed["split_sizes"], given["dim"])
        return edit.like(node, **changed)


def _like(node: fx.Node) -> Tensor:
    """An empty tensor of the type and device of a value."""
    value: Tensor = node.meta["val"]
    return torch.empty(0, dtype=value.dtype, device=value.device)


@dataclass(frozen=True, eq=False)
class Weight:
    """The positions that a layer's weight keeps of its outputs and inputs, in order."""

    layer: Layer
    outputs: Integers
    inputs: Integers

    def rebuilt(self, node: fx.Node, graph: Graph, edit: Edit) -> fx.Node:
        given = arguments(node)
        codes, scale = (graph.tensor(given[name]) for name in ("codes", "scale"))
        new = {"codes": edit.buffer(str(given["codes"].target), picked(self, codes))}
        if scale.numel() > 1:
            new["scale"] = edit.buffer(str(given["scale"].target), scale[torch.from_numpy(self.outputs)])
        return edit.like(node, **new)


def picked(weight: Weight, codes: Tensor) -> Tensor:
    """The integers of a weight at its positions; each group of channels keeps its own."""
    groups, rows, columns, _ = weight.layer.blocks.shape
    transposed, kernel = weight.layer.call.target in TRANSPOSED, codes.shape[2:]
    blocks = codes.reshape(groups, columns if transposed else rows, -1, *kernel)
    blocks = blocks.swapaxes(1, 2) if transposed else blocks
    width = len(weight.inputs) if groups == 1 else columns
    ins = torch.from_numpy(weight.inputs.reshape(-1, width))
    outs = torch.from_numpy(weight.outputs.reshape(len(ins), -1))
    new = blocks[(ins[:, :1] // columns)[:, :, None], (outs % rows)[:, :, None], (ins % columns)[:, None, :]]
    new = new.swapaxes(1, 2) if transposed else new
    return new.reshape(-1, new.shape[2], *kernel).contiguous()


Chosen: TypeAlias = Call | Weight


@dataclass(frozen=True, eq=False)
class Choice:
    """The plan of a pass that chooses among units, by node name.

    chosen: what becomes of calls and weights.   kept: name of a weight -> why units of its layer stay as they are.
    """

    chosen: Mapping[str, Chosen]
    kept: Mapping[str, str]

    def __contains__(self, name: str) -> bool:
        return name in self.chosen or name in self.kept


def stays(match: Match) -> str:
    """The guard of the passes that choose: why nothing is done at a node of their plan."""
    plan: Choice = match.plan
    return "" if match.root.name in plan.chosen else plan.kept[match.root.name]


def rebuild(match: Match, edit: Edit) -> fx.Node:
    """The node with the channels chosen; what it reads has been rebuilt already."""
    plan: Choice = match.plan
    return plan.chosen[match.root.name].rebuilt(match.root, match.graph, edit)
