"""Idle units: those that nobody needs, or whose value their readers' biases can take in; found as a fixpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from heapq import heappop, heappush

import numpy as np
import torch
from torch import fx

from ..arrays import Floats, Integers
from ..graph import Graph, arguments
from .choice import Call, Choice, Chosen
from .choose import Conflict, choose
from .groups import Layer, Units, units
from .settled import Reading, added, bias_of, has_border, readings

BIAS_LIMIT = 2**20
"""A bias of so many units of its accumulator cannot be moved: single precision would not hold it well."""


@dataclass
class _Search:
    """The growing set of needed units.

    reads: how layers read what is settled; they lose what turns out not to be foldable.   heavy: see `_heavy`.
    makers: of each unit, where its layers begin among `made`: numbers of layers, sorted by the units that they make.
    done: of each layer, the outputs whose needs have been met.   dirty: a heap of minus the numbers of those that may
        have others.
    """

    graph: Graph
    units: Units
    reads: dict[Layer, Reading]
    needed: Integers
    makers: Integers
    made: Integers
    heavy: dict[Layer, Integers]
    done: list[Integers]
    dirty: list[int]
    kept: dict[str, str] = field(default_factory=dict)

    def need(self, ids: Integers) -> None:
        new = np.unique(ids[~self.needed[ids]])
        self.needed[new] = True
        layers = [self.made[self.makers[unit] : self.makers[unit + 1]] for unit in new]
        for number in np.unique(np.concatenate(layers)).tolist() if layers else ():
            heappush(self.dirty, -number)


def narrow(graph: Graph) -> Choice:
    """The plan of a frozen graph without its idle units, in time linear in its nodes and weights."""
    search = _begun(graph)
    known = search.units
    _close(search)
    for ids in reversed(list(known.of.values())):
        if not search.needed[ids].any():  # no value may lose all its channels: the first one stays
            search.need(ids[:1])
            _close(search)
    while True:
        try:
            plan = choose(known, lambda ids: np.flatnonzero(search.needed[ids]))
            return Choice(_with_biases(search, plan), _refusals(search))
        except Conflict as conflict:
            search.need(conflict.units)
            _close(search)


def _begun(graph: Graph) -> _Search:
    known = units(graph)
    reads = dict(readings(graph, known))
    needed = ((known.fixed != "") | (known.whole != "")).astype(bool)
    outputs = [known.of[layer.call] for layer in known.layers]
    ids = np.concatenate([np.zeros(0, dtype=int), *outputs])
    made = np.repeat(np.arange(len(outputs)), [len(part) for part in outputs])
    order = np.argsort(ids, kind="stable")
    makers = np.searchsorted(ids[order], np.arange(known.count + 1))
    heavy = {layer: _heavy(graph, layer, read) for layer, read in reads.items()}
    done = [np.zeros(layer.outputs, dtype=bool) for layer in known.layers]
    return _Search(graph, known, reads, needed, makers, made[order], heavy, done, list(range(1 - len(done), 1)))


def _heavy(graph: Graph, layer: Layer, read: Reading) -> Integers:
    """Of each output, whether its bias would be too large to take in all its constant inputs, or any of them."""
    total = added(layer, read.codes, absolute=True)
    if read.unit is None or not total.any():
        return np.zeros(layer.outputs, dtype=bool)
    steps = np.abs(bias_of(graph, layer)) / np.where(read.unit > 0, read.unit, 1) + total
    heavy: Integers = (total > 0) & (steps >= BIAS_LIMIT)
    return heavy


def _close(search: _Search) -> None:
    """What needed outputs read, other than constants that their bias takes in, is needed; the last layer first."""
    while search.dirty:
        number = -heappop(search.dirty)
        layer, done = search.units.layers[number], search.done[number]
        new = search.needed[search.units.of[layer.call]] & ~done
        if not new.any():
            continue
        done |= new
        if (search.heavy[layer] & new).any():
            _take_back(search, layer)
            new = done
        if (inputs := search.units.read_by(layer)) is not None:
            search.need(inputs[_used(layer, new) & ~search.reads[layer].takes])


def _take_back(search: _Search, layer: Layer) -> None:
    """No bias of a layer takes in constants other than zero."""
    read = search.reads[layer]
    zero, none = read.takes & (read.codes == 0), np.zeros_like(read.takes)
    search.reads[layer] = replace(read, takes=zero, barred=none)
    search.heavy[layer] = np.zeros_like(search.heavy[layer])
    search.kept[_weight_name(layer)] = "its bias would be too large, with its constant inputs, to be exact"


def _used(layer: Layer, outputs: Integers) -> Integers:
    """Of each input, whether one of these outputs, a mask, has a weight for it."""
    count, rows, _, _ = layer.blocks.shape
    if count == 1:
        one: Integers = layer.alive[0, outputs].any(0)
        return one
    used: Integers = (layer.alive & outputs.reshape(count, rows, 1)).any(1).reshape(-1)
    return used


def _folded(search: _Search, layer: Layer) -> Integers:
    """What the inputs that go add to each output, in units of the accumulator."""
    inputs, codes = search.units.read_by(layer), search.reads[layer].codes
    return added(layer, codes * 0 if inputs is None else np.where(search.needed[inputs], 0, codes))


def _with_biases(search: _Search, plan: Mapping[fx.Node, Chosen]) -> Mapping[str, Chosen]:
    folded: dict[str, Chosen] = {node.name: chosen for node, chosen in plan.items()}
    for layer in search.units.layers:
        total, call = _folded(search, layer), plan.get(layer.call)
        if isinstance(call, Call) and total.any():
            dtype = layer.call.meta["val"].dtype
            bias = shifted(bias_of(search.graph, layer), total, search.reads[layer].unit, dtype)
            _, outputs = call.picks["bias"]
            folded[layer.call.name] = replace(call, picks={}, bias=bias[outputs])
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
        idle = ~layer.alive.any(2).reshape(-1)
        reasons = [str(known.fixed[u] or known.whole[u]) for u in known.of[layer.call][idle]]
        if any(reasons):
            kept.setdefault(
                _weight_name(layer), f"{sum(map(bool, reasons))} of its outputs are constant; {max(reasons)}"
            )
        needed = search.needed[known.of[layer.call]]
        barred = int((_used(layer, needed) & search.reads[layer].barred).sum())
        if barred:
            why = "it pads" if has_border(layer.call) else "it reads no grid"
            kept.setdefault(_weight_name(layer), f"{why}, and {barred} of its inputs are constants other than zero")
    return kept
