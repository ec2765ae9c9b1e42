"""Orders of units: those whose weights lie on the same inputs next to each other, so that a coder sees them repeat."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from torch import fx

from ..arrays import Floats, Integers
from ..graph import Graph, arguments
from .choose import Choice, Conflict, choose
from .groups import Layer, Units, units

SPARSE = 0.5
"""Share of weights other than zero from which on an order is not worth looking for."""


def reorder(graph: Graph) -> Choice:
    """The plan of a frozen graph with its units in the order of `chain`, each kind among its own places."""
    known = units(graph)
    rows, dense = _patterns(known)
    places = np.arange(known.count)
    kept = {
        str(arguments(layer.grid)["codes"].name): "too few of its weights are zero for an order to matter"
        for layer in known.layers
        if np.isin(known.kinds[_movable(known, known.of[layer.call])], dense).any()
    }
    for kind, features in rows.items():
        members = np.flatnonzero((known.kinds == kind) & (known.fixed == ""))
        places[members] = members[chain(features)]
    while True:
        try:
            plan = choose(known, lambda ids: _positions(ids, places))
            return Choice({node.name: chosen for node, chosen in plan.items()}, kept)
        except Conflict as conflict:
            stuck = np.isin(known.kinds, known.kinds[conflict.units])
            places[stuck] = np.flatnonzero(stuck)


def _movable(known: Units, ids: Integers) -> Integers:
    movable: Integers = ids[known.fixed[ids] == ""]
    return movable


def _patterns(known: Units) -> tuple[Mapping[int, Floats], list[int]]:
    """(kind -> where the incoming weights of its units are not zero, float32 (units, weights); the dense kinds)."""
    found: dict[int, list[Floats]] = {}
    seen: set[fx.Node] = set()
    for layer in known.layers:
        if layer.grid in seen:
            continue
        seen.add(layer.grid)
        patterns = (layer.blocks != 0).reshape(layer.outputs, -1)
        for kind, rows in _by_kind(known, layer, patterns):
            found.setdefault(kind, []).append(rows)
    joined = {kind: np.concatenate(parts, axis=1) for kind, parts in found.items()}
    dense = [kind for kind, rows in joined.items() if rows.mean() > SPARSE]
    return {kind: rows for kind, rows in joined.items() if kind not in dense and len(rows) > 1}, dense


def _by_kind(known: Units, layer: Layer, patterns: Integers) -> list[tuple[int, Floats]]:
    """The rows of a layer's weight by the kind of the unit, sorted by unit; several rows of one stand side by side."""
    ids = known.of[layer.call]
    found = []
    for kind in np.unique(known.kinds[_movable(known, ids)]):
        places = np.flatnonzero((known.kinds[ids] == kind) & (known.fixed[ids] == ""))
        count = len(np.unique(ids[places]))
        places = places[np.argsort(ids[places], kind="stable")]
        found.append((int(kind), patterns[places].reshape(count, -1).astype(np.float32)))
    return found


def chain(rows: Floats) -> Integers:
    """An order of rows, (rows, columns) of 0 and 1: first the fullest, then whichever shares most ones with the last.

    The first of equals is taken, so that an order once found is found again.
    """
    shared = rows @ rows.T
    left = np.ones(len(rows), dtype=bool)
    order = [int(shared.diagonal().argmax())]
    for _ in range(len(rows) - 1):
        left[order[-1]] = False
        order.append(int(np.where(left, shared[order[-1]], -1).argmax()))
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
