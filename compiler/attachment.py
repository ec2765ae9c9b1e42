"""Attachment: the grids that penalties read, and what each penalty has in common with the others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from typing import Any

import torch
from torch import fx

from .coefficient import Coefficient
from .edit import Edit
from .graph import Graph, arguments, layer
from .grids.scales import trained
from .layers import weight_of
from .rule import Guard, Match

_aten, _own = torch.ops.aten, torch.ops.lowbit

_GRID = ("x", "scale", "zero", "lo", "hi", "axis")


class Attached(Coefficient, frozen=True):
    """attached: false leaves a layer out."""

    attached: bool = True

    by_layer = frozenset({"attached"})


def grids(graph: Graph, chosen: Callable[[str], bool] = lambda path: True) -> dict[fx.Node, fx.Node | None]:
    """Each grid of the graph, in order -> the weight behind it, None of an activation; for chosen layers alone."""
    every = {node: weight_of(node) for node in graph.nodes if node.target is _own.fake_quantize.default}
    return {grid: weight for grid, weight in every.items() if chosen(layer(weight or grid))}


def trained_scales(found: Mapping[fx.Node, fx.Node | None]) -> dict[str, fx.Node]:
    """Name of each parameter behind the scale of a grid -> the first grid that has it; a given scale learns nothing."""
    first: dict[str, fx.Node] = {}
    for grid in found:
        if name := trained(grid):
            first.setdefault(name, grid)
    return first


def on(grid: fx.Node) -> dict[str, Any]:
    """What a penalty reads of a grid, by the names of `fake_quantize`; odd only if it is."""
    given = arguments(grid)
    return {name: given[name] for name in _GRID} | ({"odd": True} if given["odd"] else {})


def summed(edit: Edit, terms: Sequence[fx.Node]) -> fx.Node:
    """The sum of scalars, of which there is at least one."""
    return reduce(lambda total, term: edit.call(_aten.add.Tensor, total, term), terms)


def planned(match: Match) -> list[fx.Node]:
    """The nodes that the plan names, in graph order."""
    return [node for node in match.graph.nodes if node.name in match.plan]


def where_planned(otherwise: str) -> Guard:
    """Refuses, for the given reason, where the plan names nothing."""

    def refuses(match: Match) -> str:
        return "" if match.plan else otherwise

    return refuses


def unless_attached(name: str) -> Guard:
    """Refuses where the graph has a penalty of that name."""

    def refuses(match: Match) -> str:
        return "the penalty is attached already" if name in match.graph.penalties else ""

    return refuses
