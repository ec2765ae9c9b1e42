"""Idle units: those that nobody needs, or whose value their readers' biases can take in; found as a fixpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import fx

from ..arrays import Floats, Integers
from ..graph import Graph, arguments
from .choose import Choice, Chosen, Conflict, choose
from .groups import Layer, Units, nonzero, units
from .settled import Reading, added, bias_of, has_border, readings

BIAS_LIMIT = 2**20
"""A bias of so many units of its accumulator cannot be moved: single precision would not hold it well."""


@dataclass
class _Search:
    """The growing set of needed units. `reads` loses what turns out not to be foldable."""

    graph: Graph
    units: Units
    reads: dict[Layer, Reading]
    needed: Integers
    kept: dict[str, str] = field(default_factory=dict)

    def need(self, ids: Integers) -> bool:
        """Whether any of these units was not yet needed."""
        new = not bool(self.needed[ids].all())
        self.needed[ids] = True
        return new


def narrow(graph: Graph) -> Choice:
    """The plan of a frozen graph without its idle units."""
    known = units(graph)
    bound = np.array([bool(fixed or whole) for fixed, whole in zip(known.fixed, known.whole, strict=True)], dtype=bool)
    search = _Search(graph, known, dict(readings(graph, known)), bound)
    while True:
        _close(search)
        if _keep_one(search) or _fold_fails(search):
            continue
        try:
            plan = choose(known, lambda ids: np.flatnonzero(search.needed[ids]))
            break
        except Conflict as conflict:
            search.need(conflict.units)
    return Choice(_with_biases(search, plan), _refusals(search))


def _close(search: _Search) -> None:
    """What needed outputs read, other than constants that their bias takes in, is needed."""
    weights = {layer: nonzero(layer) for layer in search.units.layers}
    moved = True
    while moved:
        moved = False
        for layer in reversed(search.units.layers):
            if (inputs := search.units.read_by(layer)) is not None:
                used = _used(search, layer, weights[layer]) & ~search.reads[layer].takes
                moved |= search.need(inputs[used])


def _used(search: _Search, layer: Layer, weights: Integers) -> Integers:
    """Of each input, whether a needed output has a weight for it."""
    count, rows, _, _ = layer.blocks.shape
    needed = search.needed[search.units.of[layer.call]].reshape(count, rows, 1)
    used: Integers = (weights & needed).any(1).reshape(-1)
    return used


def _keep_one(search: _Search) -> bool:
    """No value may lose all its channels: the first one stays."""
    for ids in search.units.of.values():
        if not search.needed[ids].any():
            return search.need(ids[:1])
    return False


def _folded(search: _Search, layer: Layer) -> Integers:
    """What the inputs that go add to each output, in units of the accumulator."""
    inputs, codes = search.units.read_by(layer), search.reads[layer].codes
    return added(layer, codes * 0 if inputs is None else np.where(search.needed[inputs], 0, codes))


def _fold_fails(search: _Search) -> bool:
    """Take back the constants of layers whose bias would be too large with them."""
    failed = False
    for layer in search.units.layers:
        total, read, ids = _folded(search, layer), search.reads[layer], search.units.of[layer.call]
        if read.unit is None or not (rows := _touched(search, layer) & search.needed[ids]).any():
            continue
        steps = np.abs(bias_of(search.graph, layer)) / np.where(read.unit > 0, read.unit, 1) + np.abs(total)
        if bool((steps[rows] >= BIAS_LIMIT).any()):
            none = np.zeros_like(read.takes)
            search.reads[layer] = replace(read, takes=none, barred=none)
            search.kept[_weight_name(layer)] = "its bias would be too large, with its constant inputs, to be exact"
            failed = True
    return failed


def _touched(search: _Search, layer: Layer) -> Integers:
    """Of each output, whether it has a weight for an input that goes."""
    inputs = search.units.read_by(layer)
    if inputs is None:
        return np.zeros(layer.outputs, dtype=bool)
    count, _, columns, _ = layer.blocks.shape
    gone = ~search.needed[inputs].reshape(count, 1, columns)
    touched: Integers = (nonzero(layer) & gone).any(2).reshape(-1)
    return touched


def _with_biases(search: _Search, plan: Mapping[fx.Node, Chosen]) -> Mapping[str, Chosen]:
    folded: dict[str, Chosen] = {node.name: chosen for node, chosen in plan.items()}
    for layer in search.units.layers:
        total, call = _folded(search, layer), layer.call
        if call in plan and total.any():
            bias = shifted(bias_of(search.graph, layer), total, search.reads[layer].unit, call.meta["val"].dtype)
            folded[call.name] = replace(plan[call], bias=bias)
    return folded


def shifted(bias: Floats, total: Integers, unit: Floats | None, dtype: torch.dtype) -> Floats:
    """bias + total units such that floor(bias / unit + 1/2), which lowering takes, grows by `total` exactly.

    dtype: of the graph's bias. Where rounding the sum to it crosses a half, a value well inside the step is taken.
    """
    if unit is None:
        return bias
    safe = np.where((unit > 0) & (total != 0), unit, 1)
    whole = np.floor(bias / safe + 0.5) + total
    real = bias + total * safe
    stored = torch.from_numpy(real).to(dtype).double().numpy()
    right = np.floor(stored / safe + 0.5) == whole
    inside = np.clip(real / safe, whole - 0.375, whole + 0.375) * safe
    return np.where(total == 0, bias, np.where(right, real, inside))


def _weight_name(layer: Layer) -> str:
    name: str = arguments(layer.grid)["codes"].name
    return name


def _refusals(search: _Search) -> dict[str, str]:
    """Why units stay although they are idle, by the weight of the layer that reads or makes them."""
    kept, known = dict(search.kept), search.units
    for layer in known.layers:
        idle = ~layer.blocks.any((2, 3)).reshape(-1)
        reasons = [str(known.fixed[u] or known.whole[u]) for u in known.of[layer.call][idle]]
        if any(reasons):
            kept.setdefault(
                _weight_name(layer), f"{sum(map(bool, reasons))} of its outputs are constant; {max(reasons)}"
            )
        barred = int((_used(search, layer, nonzero(layer)) & search.reads[layer].barred).sum())
        if barred:
            why = "it pads" if has_border(layer.call) else "it reads no grid"
            kept.setdefault(_weight_name(layer), f"{why}, and {barred} of its inputs are constants other than zero")
    return kept
