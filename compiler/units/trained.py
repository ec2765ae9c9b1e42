"""Units of a graph in training: which parameters make each of them, and which of them may go."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, fx

from ..arrays import Integers
from ..graph import Graph, arguments, layer
from ..layers import along_outputs, weight_of
from ..operators import aten
from .groups import Layer, Units, in_blocks, units

STAYS = -1
"""The set of a unit that must stay."""


@dataclass(frozen=True, eq=False)
class Coupled:
    """Units and the parameters that make them: with all of these zero, a unit is zero.

    parts: name of each weight, bias and norm scale or shift -> the units along it, int64, of a shape that broadcasts.
    weights: those of them that are weights of layers.
    sets: int64 (units,), of each unit the number of its set, units that take the same places; or STAYS.
    reasons: name of a weight -> why none of its units may go.
    """

    parts: Mapping[str, Tensor]
    weights: frozenset[str]
    sets: Tensor
    reasons: Mapping[str, str]


def coupled(graph: Graph, may_go: Callable[[str], bool]) -> Coupled:
    """may_go: whether units of the layer of that path may go; a unit goes if all the layers that make it agree."""
    known = units(graph, _trained)
    parts: dict[str, Tensor] = {}
    why = np.where(known.fixed != "", known.fixed, known.whole)
    for part, ids in _parts(known):
        if not torch.equal(parts.setdefault(str(part.target), ids), ids):
            both = torch.cat([parts[str(part.target)].reshape(-1), ids.reshape(-1)])
            why[both.numpy()] = "several places share a parameter"
    for one in known.layers:
        if not may_go(layer(one.grid)):
            why[known.of[one.call]] = "the recipe leaves it out"
    sets = _sets(known, why)
    free = {name: ids for name, ids in parts.items() if bool((sets[ids] != STAYS).any())}
    weights = {str(one.grid.target): known.of[one.call] for one in known.layers}
    kept = {name: str(max(why[ids])) for name, ids in weights.items() if name not in free}
    return Coupled(free, frozenset(weights), sets, kept)


def _trained(graph: Graph, call: fx.Node) -> Layer | None:
    """The layer of a call, if its weight and its bias are parameters, behind masks and grids perhaps."""
    weight, bias = weight_of(arguments(call)["weight"]), arguments(call)["bias"]
    if weight is None or not (bias is None or weight_of(bias) is not None):
        return None
    return Layer(call, weight, in_blocks(call, graph.tensor(weight).detach().float().cpu().numpy()))


def _parts(known: Units) -> Iterator[tuple[fx.Node, Tensor]]:
    """Each parameter of layers and norms at each place where it is read, with the units along it."""
    for one in known.layers:
        ids = torch.from_numpy(known.of[one.call])
        yield one.grid, along_outputs(one.call, ids)
        if (bias := weight_of(arguments(one.call)["bias"])) is not None:
            yield bias, ids
    for node, along in known.of.items():
        if node.target is aten.batch_norm.default:
            operands = (weight_of(arguments(node)[name]) for name in ("weight", "bias"))
            yield from ((part, torch.from_numpy(along)) for part in operands if part is not None)


def _sets(known: Units, why: Integers) -> Tensor:
    """The kind of each unit, counted from 0, or STAYS."""
    made = np.zeros(known.count, dtype=bool)
    for one in known.layers:
        made[known.of[one.call]] = True
    sets = np.where(made & (why == ""), known.kinds, STAYS)
    numbers, sets = np.unique(sets, return_inverse=True)
    return torch.from_numpy(sets.reshape(-1) - int(STAYS in numbers))
