"""Settled values: channels that do not depend on the input, as the graph and the integer program both compute them."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import dataclass
from types import NoneType
from typing import Any

import numpy as np
from torch import fx

from ..arrays import Floats, Integers
from ..graph import Graph, arguments
from ..operators import AVERAGES, CARRIERS, CLAMPS, CONVERSIONS, RECTIFIERS, RESHAPES, TRANSPOSED, aten, own
from .flow import Flow
from .groups import Layer, Units

SURE = 2.0**-20
"""How far apart, relative to a value, graph and program may be in front of a grid: multipliers have 24 bits."""

_MAXIMA = frozenset(getattr(aten, f"max_pool{rank}d").default for rank in (1, 2, 3))
_MEANS = AVERAGES | frozenset(
    getattr(aten, f"{kind}_pool{rank}d").default for kind in ("avg", "adaptive_avg") for rank in (1, 2, 3)
)
_SAME = (
    CONVERSIONS
    | _MAXIMA
    | frozenset(getattr(aten, name).default for name in ("dropout", "dropout_", "clone", "contiguous"))
    | frozenset(getattr(aten, f"upsample_nearest{rank}d").vec for rank in (1, 2, 3))
)
_MOVES = RESHAPES | frozenset(
    {aten.cat.default, aten.permute.default, aten.transpose.int, aten.channel_shuffle.default}
    | {aten.slice.Tensor, aten.narrow.default, aten.chunk.default, aten.split.Tensor, aten.split_with_sizes.default}
)
_CARRY = CARRIERS | RECTIFIERS | _MOVES | _SAME
_ZERO_AT_ZERO = frozenset(
    getattr(aten, name).default for name in ("tanh", "silu", "gelu", "hardswish", "elu", "leaky_relu", "neg")
)
"""Activations that give zero for zero."""
_PADS = frozenset({aten.constant_pad_nd.default, aten.pad.default})


@dataclass(frozen=True, eq=False)
class Settled:
    """Bounds of what a value is at each position along its channel axis, whatever the input: float64.

    NaN where it depends on the input; equal where graph and program give the same.
    """

    lo: Floats
    hi: Floats

    @property
    def exact(self) -> Integers:
        same: Integers = self.lo == self.hi
        return same

    def zeros(self) -> Settled:
        """Itself where it is exactly zero, else not known."""
        zero = np.where(self.exact & (self.lo == 0), 0.0, np.nan)
        return Settled(zero, zero)


@dataclass(frozen=True, eq=False)
class Reading:
    """How a layer reads settled inputs.

    takes: of each input, whether its bias can take it in.   codes: its integer less the zero point, else 0.
    barred: of each, whether it is settled and yet cannot be taken in.
    unit: float64 (outputs,), the scale of the accumulator; None where the input is on no one grid.
    """

    takes: Integers
    codes: Integers
    barred: Integers
    unit: Floats | None


def readings(graph: Graph, units: Units) -> Mapping[Layer, Reading]:
    """How each layer reads what is settled of its input."""
    found: dict[fx.Node, Settled] = {}
    scales = _scales(graph)
    layers = {layer.call: layer for layer in units.layers}
    reads: dict[Layer, Reading] = {}
    for node, ids in units.of.items():
        if (layer := layers.get(node)) is not None:
            x = arguments(node)["input"]
            known = found[x] if units.read_by(layer) is not None else _unknown(layer.inputs)
            reads[layer] = _reading(graph, layer, known, scales[x])
            found[node] = _of_layer(graph, layer, reads[layer])
        else:
            found[node] = _of_flow(node, units.flows[node], found, scales) or _unknown(len(ids))
    return reads


def _unknown(size: int) -> Settled:
    return Settled(np.full(size, np.nan), np.full(size, np.nan))


def _scales(graph: Graph) -> Mapping[fx.Node, float]:
    """The scale of the grid that each value is on; 0 if it is on none, or on several."""
    scales: dict[fx.Node, float] = {}
    for node in graph.fx.nodes:
        if node.target is own.fake_quantize.default:
            scale = arguments(node)["scale"]
            one = scale.op == "get_attr" and graph.tensor(scale).numel() == 1
            scales[node] = float(graph.tensor(scale)) if one else 0.0
            continue
        read = {scales[operand] for operand in node.all_input_nodes if operand.target is not aten.sym_size.int}
        carried = node.target in _CARRY or node.target is operator.getitem
        scales[node] = read.pop() if carried and len(read) == 1 else 0.0
    return scales


def has_border(call: fx.Node) -> bool:
    """Whether some outputs of a window see less of the input than others: a border of zeros, or of nothing."""
    given = arguments(call)
    padding = given.get("padding", 0)
    padded = any(padding) if isinstance(padding, (list, tuple)) else bool(padding)
    return padded or bool(given.get("ceil_mode")) or call.target in TRANSPOSED


def _reading(graph: Graph, layer: Layer, known: Settled, scale: float) -> Reading:
    weight = graph.tensor(arguments(layer.grid)["scale"]).double().cpu().numpy()
    unit = np.broadcast_to(scale * weight, layer.outputs) if scale else None
    takes = known.exact if scale and not has_border(layer.call) else known.zeros().exact
    codes = np.rint(np.where(takes, known.lo, 0) / (scale or 1)).astype(np.int64)
    return Reading(takes, codes, known.exact & ~takes, unit)


def bias_of(graph: Graph, layer: Layer) -> Floats:
    """The bias of a layer, float64 (outputs,)."""
    node = arguments(layer.call)["bias"]
    return np.zeros(layer.outputs) if node is None else graph.tensor(node).detach().double().cpu().numpy()


def added(layer: Layer, codes: Integers, absolute: bool = False) -> Integers:
    """What inputs of these integers, (inputs,), add to each output, (outputs,), in units of the accumulator.

    absolute: the sum of the absolute values of what each input adds.
    """
    count, _, columns, _ = layer.blocks.shape
    if not codes.any():
        return np.zeros(layer.outputs, dtype=np.int64)
    weights, given = layer.blocks.sum(3, dtype=np.int64), codes.reshape(count, columns)
    if absolute:
        weights, given = np.abs(weights), np.abs(given)
    summed: Integers = np.einsum("goi,gi->go", weights, given).reshape(-1)
    return summed


def _of_layer(graph: Graph, layer: Layer, read: Reading) -> Settled:
    """Rows whose inputs are all settled. The program rounds a bias to the unit of its accumulator, the graph does not.

    A row without weights may get a unit that suits its bias: so near the bias itself that the width covers it.
    """
    count, _, columns, _ = layer.blocks.shape
    varies = (layer.alive & ~read.takes.reshape(count, 1, columns)).any(2).reshape(-1)
    bias, total = bias_of(graph, layer), added(layer, read.codes)
    if read.unit is None:
        exact = np.where(varies | (bias != 0), np.nan, 0.0)
        return Settled(exact, exact)
    unit = np.where(read.unit > 0, read.unit, 1)
    real = bias + total * read.unit
    rounded = np.where(read.unit > 0, (np.floor(bias / unit + 0.5) + total) * unit, real)
    lo, hi = np.minimum(real, rounded), np.maximum(real, rounded)
    return Settled(*(np.where(varies, np.nan, bound) for bound in _widened(lo, hi)))


def _widened(lo: Floats, hi: Floats) -> tuple[Floats, Floats]:
    return lo - SURE * np.abs(lo), hi + SURE * np.abs(hi)


def _of_flow(
    node: fx.Node, found: Flow, known: Mapping[fx.Node, Settled], scales: Mapping[fx.Node, float]
) -> Settled | None:
    """What a call makes of settled channels; None where that is not known."""
    read = [known[operand] for operand in found.operands]
    given: Mapping[str, Any] = arguments(node) if hasattr(node.target, "_schema") else {}
    x = read[0]
    if node.target in _SAME:
        return x
    if node.target in _MOVES or not given:
        return Settled(found.source([part.lo for part in read]), found.source([part.hi for part in read]))
    if node.target in RECTIFIERS:
        return Settled(np.maximum(x.lo, 0), np.maximum(x.hi, 0))
    if node.target in _ZERO_AT_ZERO or (node.target in CLAMPS and _allows_zero(given)):
        return x.zeros()
    if node.target in _MEANS:
        return x.zeros() if has_border(node) else x
    if node.target in _PADS and given.get("mode", "constant") == "constant" and not given["value"]:
        return x.zeros()
    if node.target in (aten.add.Tensor, aten.add_.Tensor) and len(read) == 2 and given["alpha"] == 1:
        return _sum(*read)
    if node.target is own.fake_quantize.default and scales[node]:
        return _rounded(x, scales[node], given["lo"] - given["zero"], given["hi"] - given["zero"])
    return x.zeros() if node.target is own.fake_quantize.default else None


def _allows_zero(given: Mapping[str, Any]) -> bool:
    """Whether the limits of a clamp, its arguments by name, are numbers that have zero between them."""
    limits = {name.partition("_")[0]: value for name, value in given.items() if name.startswith(("min", "max"))}
    known = all(isinstance(value, (int, float, NoneType)) for value in limits.values())
    return known and (limits.get("min") or 0) <= 0 <= (limits.get("max") or 0)


def _sum(a: Settled, b: Settled) -> Settled:
    """Bounds of a sum, whose terms the program multiplies by numbers of 24 bits each."""
    (a_lo, a_hi), (b_lo, b_hi) = _widened(a.lo, a.hi), _widened(b.lo, b.hi)
    return Settled(a_lo + b_lo, a_hi + b_hi)


def _rounded(x: Settled, scale: float, lo: int, hi: int) -> Settled:
    """The value on a grid, where both bounds are rounded to the same integer."""
    least, most = (np.clip(np.floor(bound / scale + 0.5), lo, hi) for bound in _widened(x.lo, x.hi))
    value = np.where(least == most, least * scale, np.nan)
    return Settled(value, value)
