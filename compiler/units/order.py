"""Orders of units: those whose weights lie on the same inputs next to each other, so that a coder sees them repeat."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod

import numpy as np
from torch import fx

from ..arrays import Floats, Integers
from ..graph import Graph, arguments
from .choice import Choice
from .choose import Conflict, choose
from .groups import Layer, Units, units

SPARSE = 0.5
"""Share of weights other than zero from which on an order is not worth looking for."""


def reorder(graph: Graph) -> Choice:
    """The plan of a frozen graph with its units in the order of `chain`, each kind among its own places."""
    known = units(graph)
    kinds = _Kinds.of(known)
    full = _dense(known, kinds)
    kept = {
        str(arguments(layer.grid)["codes"].name): "too few of its weights are zero for an order to matter"
        for layer in known.layers
        if full[kinds.number[known.of[layer.call]]].any()
    }
    places = np.arange(known.count)
    for kind, shared in _shared(known, kinds, full).items():
        members = kinds.members(kind)
        places[members] = members[chain(shared)]
    while True:
        try:
            plan = choose(known, lambda ids: _positions(ids, places))
            return Choice({node.name: chosen for node, chosen in plan.items()}, kept)
        except Conflict as conflict:
            stuck = np.isin(known.kinds, known.kinds[conflict.units])
            places[stuck] = np.flatnonzero(stuck)


@dataclass(frozen=True, eq=False)
class _Kinds:
    """The units of each kind that may move.

    number: of each unit, its kind; `count` for one that may not move.   order, starts: the units by kind.
    """

    number: Integers
    count: int
    order: Integers
    starts: Integers

    @staticmethod
    def of(known: Units) -> _Kinds:
        count = int(known.kinds.max(initial=-1)) + 1
        number = np.where(known.fixed == "", known.kinds, count)
        order = np.argsort(number, kind="stable")
        return _Kinds(number, count, order, np.searchsorted(number[order], np.arange(count + 1)))

    def members(self, kind: int) -> Integers:
        found: Integers = self.order[self.starts[kind] : self.starts[kind + 1]]
        return found


def _weights(known: Units) -> Iterator[Layer]:
    """The layers, those that share a weight once."""
    seen: set[fx.Node] = set()
    for layer in known.layers:
        if layer.grid not in seen:
            seen.add(layer.grid)
            yield layer


def _dense(known: Units, kinds: _Kinds) -> Integers:
    """Of each kind, whether most of the weights that its units come from are not zero; no for units that stay."""
    ones, size = np.zeros(kinds.count + 1), np.zeros(kinds.count + 1)
    for layer in _weights(known):
        number = kinds.number[known.of[layer.call]]
        np.add.at(ones, number, np.count_nonzero(layer.blocks, axis=(2, 3)).reshape(-1))
        np.add.at(size, number, prod(layer.blocks.shape[2:]))
    ones[-1] = 0
    dense: Integers = ones > SPARSE * size
    return dense


def _shared(known: Units, kinds: _Kinds, dense: Integers) -> Mapping[int, Floats]:
    """Of each sparse kind of several units: how many inputs two of them weigh with one sign, float32 (units, units)."""
    found: dict[int, Floats] = {}
    for layer in _weights(known):
        number = kinds.number[known.of[layer.call]]
        for kind in np.unique(number[~dense[number]]):
            members = kinds.members(kind) if kind < kinds.count else ()
            if len(members) > 1:
                rows = _rows(layer, known.of[layer.call], number == kind)
                shared = found.setdefault(int(kind), np.zeros((len(members), len(members)), dtype=np.float32))
                shared += rows @ rows.T
    return found


def _rows(layer: Layer, ids: Integers, here: Integers) -> Floats:
    """The rows of a weight at a mask of its outputs, by unit; those of one unit side by side. 1 where a weight is above
    zero, then 1 where it is below."""
    places = np.flatnonzero(here)
    count = len(np.unique(ids[places]))
    places = places[np.argsort(ids[places], kind="stable")]
    rows = layer.blocks.shape[1]
    found = layer.blocks[places // rows, places % rows].reshape(count, -1)
    signs: Floats = np.concatenate([found > 0, found < 0], axis=1).astype(np.float32)
    return signs


def chain(shared: Floats) -> Integers:
    """An order of units by how alike they are: first the one with most inputs, then whichever is most like the last.

    shared: (units, units), how many inputs two have in common; on the diagonal, how many each has. Alike are those that
    share most of what either has (the index of Jaccard). The first of equals is taken, so that an order once found is
    found again.
    """
    own, left = shared.diagonal(), np.ones(len(shared), dtype=bool)
    order = [int(own.argmax())]
    for _ in range(len(shared) - 1):
        last = order[-1]
        left[last] = False
        alike = shared[last] / np.maximum(own + own[last] - shared[last], 1)
        order.append(int(np.where(left, alike, -1).argmax()))
    return np.array(order)


def _positions(ids: Integers, places: Integers) -> Integers:
    """The positions, in order, when each unit u gives its place to places[u]; its n-th position to that one's n-th."""
    order = np.argsort(ids, kind="stable")
    starts = np.searchsorted(ids[order], ids)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(ids))
    rank -= starts
    positions: Integers = order[np.searchsorted(ids[order], places[ids]) + rank]
    return positions
