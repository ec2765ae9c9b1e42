"""Flow: where the channels of a value go in each call that is no layer, and what that call is after some are gone."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any, TypeAlias

import numpy as np
from torch import fx

from ..arrays import Integers
from ..graph import arguments, fixed, shape
from ..operators import CONVERSIONS, RESHAPES, aten, own


class Moved(Exception):
    """Channels cannot be chosen so: the message says why."""


Changes: TypeAlias = Mapping[str, Any]
"""Arguments of the call that change with its channels, by schema name."""


@dataclass(frozen=True, eq=False)
class Flow:
    """How a call moves channels. Positions are counted along the channel axis of a value.

    axis: that axis of the result.   operands: the nodes whose channels flow; where there are several, `joined` tells
        whether the same positions meet, as in a sum, or the operands lie one behind another.
    source: marks along each operand -> marks along the result.
    chosen: for each operand the old positions that it has now, in order -> those of the result, and what changes.
        Raises Moved where no arguments make it so.
    constants: names of arguments that hold a constant with one number for each channel.
    whole: the call needs all its channels, although it does not mind their order.
    """

    axis: int
    operands: tuple[fx.Node, ...]
    source: Callable[[Sequence[Integers]], Integers] = lambda marks: marks[0]
    chosen: Callable[[Sequence[Integers]], tuple[Integers, Changes]] = lambda sels: (sels[0], {})
    joined: bool = False
    constants: Mapping[str, int] = field(default_factory=dict)
    whole: bool = False


_POOLS = frozenset(
    getattr(aten, f"{kind}{rank}d").default
    for kind, ranks in (("max_pool", (1, 2, 3)), ("avg_pool", (1, 2, 3)), ("adaptive_avg_pool", (1, 2, 3)))
    for rank in ranks
)
_SPATIAL = _POOLS | frozenset(getattr(aten, f"upsample_nearest{rank}d").vec for rank in (1, 2, 3))
_POINTWISE = CONVERSIONS | frozenset(
    {
        *(getattr(aten, name).default for name in ("relu", "relu_", "relu6", "relu6_", "hardtanh", "hardtanh_")),
        *(getattr(aten, name).default for name in ("clamp", "clamp_", "sigmoid", "tanh", "silu", "gelu", "leaky_relu")),
        *(getattr(aten, name).default for name in ("hardswish", "hardsigmoid", "elu", "clone", "contiguous", "neg")),
        *(getattr(aten, name).default for name in ("dropout", "dropout_", "clamp_min", "abs", "exp")),
        *(getattr(aten, name).Scalar for name in ("add", "sub", "mul", "div")),
    }
)
_JOINS = frozenset(
    {*(getattr(aten, name).Tensor for name in ("add", "add_", "sub", "mul", "mul_", "div")), aten.maximum.default}
)
_CUTS = frozenset({aten.slice.Tensor, aten.narrow.default})
_SPLITS = frozenset({aten.chunk.default, aten.split.Tensor, aten.split_with_sizes.default, aten.split.sizes})


def flow(node: fx.Node, axes: Mapping[fx.Node, int]) -> Flow | None:
    """The flow of a call. axes: the channel axis of each value that has one. None: it is not known what it does."""
    if node.op != "call_function":
        return None
    if node.target is operator.getitem:
        return _picked(node, axes)
    if not hasattr(node.target, "_schema"):
        return None
    given = arguments(node)
    x = next(iter(given.values()), None)
    if node.target is aten.cat.default:
        return _concatenation(given, axes)
    if node.target in _JOINS:
        return _join(node, given, axes)
    if not isinstance(x, fx.Node) or x not in axes:
        return None
    return _of_one(node, given, x, axes[x])


def _of_one(node: fx.Node, given: Mapping[str, Any], x: fx.Node, axis: int) -> Flow | None:
    rank = len(shape(x))
    if node.target in _POINTWISE or (node.target in _SPATIAL and axis == 1):
        return Flow(axis, (x,))
    if node.target in RESHAPES:
        return _reshape(node, given, x, axis)
    if node.target in _CUTS and given["dim"] % rank == axis:
        return _cut(node, given, x, axis)
    if node.target in _SPLITS and given["dim"] % rank == axis:
        return _split(node, x, axis)
    match node.target:
        case own.fake_quantize.default:
            return Flow(axis, (x,), constants=_along(given, ("scale",), given["axis"] == axis))
        case aten.batch_norm.default if axis == 1:
            names = ("weight", "bias", "running_mean", "running_var")
            return Flow(axis, (x,), constants=_along(given, names, True))
        case aten.constant_pad_nd.default | aten.pad.default if len(given["pad"]) // 2 < rank - axis:
            return Flow(axis, (x,))
        case aten.mean.dim if given["dim"] and axis not in (reduced := {d % rank for d in given["dim"]}):
            return Flow(axis if given["keepdim"] else axis - sum(d < axis for d in reduced), (x,))
        case aten.permute.default:
            return Flow([d % rank for d in given["dims"]].index(axis), (x,))
        case aten.transpose.int:
            swap = {given["dim0"] % rank: given["dim1"] % rank, given["dim1"] % rank: given["dim0"] % rank}
            return Flow(swap.get(axis, axis), (x,))
        case aten.channel_shuffle.default if axis == 1:
            return _shuffle(int(given["groups"]), x, _size(x, axis))
    return None


def _size(node: fx.Node, axis: int) -> int:
    return int(shape(node)[axis])


def _along(given: Mapping[str, Any], names: Sequence[str], here: bool) -> Mapping[str, int]:
    """Those of the arguments that hold one number for each channel, with the axis along which they do."""
    found = {name: given[name] for name in names if isinstance(given[name], fx.Node)}
    return {name: 0 for name, node in found.items() if here and node.meta["val"].numel() > 1}


def _join(node: fx.Node, given: Mapping[str, Any], axes: Mapping[fx.Node, int]) -> Flow | None:
    """Values of one shape, or one with a constant that is a number or has one for each channel."""
    rank, size = len(shape(node)), list(shape(node))
    moving: list[fx.Node] = []
    constants: dict[str, int] = {}
    axis = next((axes[v] for v in given.values() if isinstance(v, fx.Node) and v in axes), None)
    for name, value in given.items():
        if not isinstance(value, fx.Node) or axis is None:
            continue
        own_axis = axis - rank + len(shape(value))
        if value in axes and axes[value] == axis and list(map(str, shape(value)[1:])) == list(map(str, size[1:])):
            moving.append(value)
        elif value.op != "get_attr":
            return None
        elif own_axis >= 0 and shape(value)[own_axis] > 1:
            constants[name] = own_axis
    if axis is None or not moving:
        return None
    return Flow(axis, tuple(moving), chosen=_same, joined=True, constants=constants)


def _same(sels: Sequence[Integers]) -> tuple[Integers, Changes]:
    if not all(np.array_equal(sels[0], sel) for sel in sels[1:]):
        raise Moved("values that meet would have other channels in the same place")
    return sels[0], {}


def _concatenation(given: Mapping[str, Any], axes: Mapping[fx.Node, int]) -> Flow | None:
    parts = given["tensors"]
    if not all(part in axes for part in parts) or len({axes[part] for part in parts}) > 1:
        return None
    axis = axes[parts[0]]
    if given["dim"] % len(shape(parts[0])) != axis:
        return Flow(axis, tuple(parts), chosen=_same, joined=True)
    starts = np.cumsum([0, *(_size(part, axis) for part in parts)])[:-1]

    def chosen(sels: Sequence[Integers]) -> tuple[Integers, Changes]:
        return np.concatenate([start + sel for start, sel in zip(starts, sels, strict=True)]), {}

    return Flow(axis, tuple(parts), np.concatenate, chosen)


def _reshape(node: fx.Node, given: Mapping[str, Any], x: fx.Node, axis: int) -> Flow | None:
    """The channel axis goes whole into one axis of the result, among `before` and `behind` others."""
    old, new = list(shape(x)), list(shape(node))
    sizes = [fixed(size) for size in (*old[1:], *new[1:])]
    if axis == 0 or not new or str(old[0]) != str(new[0]) or None in sizes:
        return None
    channels, outer, inner = int(old[axis]), prod(map(int, old[1:axis])), prod(map(int, old[axis + 1 :]))
    for place in range(1, len(new)):
        ahead, after = prod(map(int, new[1:place])), prod(map(int, new[place + 1 :]))
        if outer % ahead == 0 and inner % after == 0 and new[place] % channels == 0:
            return _merged(given, x, place, channels, outer // ahead, inner // after)
    return None


def _merged(given: Mapping[str, Any], x: fx.Node, place: int, channels: int, before: int, behind: int) -> Flow:
    def chosen(sels: Sequence[Integers]) -> tuple[Integers, Changes]:
        sel = np.asarray(sels[0]).reshape(1, -1, 1)
        positions = (np.arange(before).reshape(-1, 1, 1) * channels + sel) * behind + np.arange(behind)
        name = next((name for name in ("size", "shape") if name in given), "")
        if not name or given[name][place] == -1:
            return positions.reshape(-1), {}
        sizes = list(given[name])
        sizes[place] = int(positions.size)
        return positions.reshape(-1), {name: sizes}

    origin = np.arange(before * channels * behind) // behind % channels
    return Flow(place, (x,), lambda marks: marks[0][origin], chosen)


def _window(sel: Integers, start: int, stop: int) -> tuple[int, int]:
    """Where the old positions start..stop lie among those that are left: (first, one behind the last)."""
    inside = np.flatnonzero((sel >= start) & (sel < stop))
    if inside.size == 0 or inside[-1] - inside[0] + 1 != inside.size:
        raise Moved("channels that are cut out would not lie beside each other")
    return int(inside[0]), int(inside[-1]) + 1


def _cut(node: fx.Node, given: Mapping[str, Any], x: fx.Node, axis: int) -> Flow | None:
    size = _size(x, axis)
    start = int(given["start"] or 0)
    start = start + size if start < 0 else start
    if given.get("step", 1) != 1:
        return None
    stop = start + _size(node, axis)

    def chosen(sels: Sequence[Integers]) -> tuple[Integers, Changes]:
        first, last = _window(sels[0], start, stop)
        changes = {"length": last - first} if "length" in given else {"end": last}
        return sels[0][first:last] - start, {"start": first, **changes}

    return Flow(axis, (x,), lambda marks: marks[0][start:stop], chosen)


def _parts(node: fx.Node, axis: int) -> list[int]:
    """Where each part of a split begins, and where the last ends."""
    return [0, *np.cumsum([int(part.shape[axis]) for part in node.meta["val"]]).tolist()]


def _split(node: fx.Node, x: fx.Node, axis: int) -> Flow:
    """The channels of all parts, one behind the other: those of the operand."""
    ends = _parts(node, axis)

    def chosen(sels: Sequence[Integers]) -> tuple[Integers, Changes]:
        windows = [_window(sels[0], *pair) for pair in itertools.pairwise(ends)]
        if any(left[1] != right[0] for left, right in itertools.pairwise(windows)):
            raise Moved("parts would lie in another order")
        return sels[0], {"split_sizes": [last - first for first, last in windows]}

    return Flow(axis, (x,), chosen=chosen)


def _picked(node: fx.Node, axes: Mapping[fx.Node, int]) -> Flow | None:
    source, index = node.args[0], node.args[1]
    if not isinstance(source, fx.Node) or source not in axes or source.target not in _SPLITS:
        return None
    axis = axes[source]
    start, stop = _parts(source, axis)[int(index) : int(index) + 2]  # type: ignore[arg-type]

    def chosen(sels: Sequence[Integers]) -> tuple[Integers, Changes]:
        first, last = _window(sels[0], start, stop)
        return sels[0][first:last] - start, {}

    return Flow(axis, (source,), lambda marks: marks[0][start:stop], chosen)


def _shuffle(groups: int, x: fx.Node, size: int) -> Flow:
    order = np.arange(size).reshape(groups, -1).T.reshape(-1)

    def chosen(sels: Sequence[Integers]) -> tuple[Integers, Changes]:
        return np.argsort(order)[sels[0][order]], {}

    return Flow(1, (x,), lambda marks: marks[0][order], chosen, whole=True)
