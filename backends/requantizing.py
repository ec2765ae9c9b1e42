"""Requantization on machine integers: in float64, part by part in the cache, where that is exact, or in 64 bits."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ..compiler.arrays import Integers
from .arrays import Arrays, blocks
from .fixed.op import Call
from .fixed.ops.requantize import added
from .fixed.types import INT32
from .stepwise import Kernel

DOUBLE = 2**53


class Finish(NamedTuple):
    """What becomes of sums (..., channels, elements) of some channels: `of` them, converted to integers, and `lo`.

    `of` may overwrite the sums. What it gives is never below zero where it is no integer, so that converting it rounds
    down.
    """

    of: Callable[[Any, slice], Any]
    lo: int = 0


def requantize(arrays: Arrays, call: Call) -> Kernel:
    """Sums of one scale or of one a channel to the integers of another grid."""
    in_floats = finish(arrays, call)
    if in_floats is None:
        return _in_integers(arrays, call)
    channels = max(vector.size for vector in _vectors(call))
    sizes = (channels, math.prod(call.x.shape[call.axis + 1 :])) if channels > 1 else (1, 1)

    def run(x: Any) -> Any:
        y = arrays.empty(x.shape, "int32")
        seen, made = (each.reshape(-1, *sizes) for each in (x, y))
        for rows, some in blocks(len(seen), *sizes):
            made[rows, some] = in_floats.of(seen[rows, some], some)
            if in_floats.lo:
                made[rows, some] += in_floats.lo
        return y

    return run


def finish(arrays: Arrays, call: Call, bias: Integers | None = None) -> Finish | None:
    """The rounding of sums in float64, which still lack their bias; nothing where that would not be exact.

    Each product and sum is an integer of 53 bits over a power of two: nothing is rounded but once, down.
    """
    shifts, factors, more = _vectors(call)
    missing = np.zeros(1, object) if bias is None else bias.astype(object)
    plus = ((call.zero - call.lo) << shifts.astype(object)) + (1 << (shifts - 1)) + more + missing * factors
    widest = call.x.range.magnitude + int(abs(missing).max())
    top = call.hi - call.lo
    if widest * int(factors.max()) + int(abs(plus).max()) > DOUBLE or top not in INT32:
        return None
    channels = max(factors.size, plus.size)
    reals = (factors / 2.0**shifts, (plus / 2 ** shifts.astype(object)).astype(np.float64))
    factor, offset = (arrays.load(np.resize(real, (channels, 1)), "float64") for real in reals)

    def of(sums: Any, some: slice) -> Any:
        some = some if channels > 1 else slice(None)
        made = arrays.cast(sums, "float64")
        made *= factor[some]
        made += offset[some]
        return arrays.clip_(made, 0, top)

    return Finish(of, call.lo)


def _vectors(call: Call) -> tuple[Integers, Integers, Integers]:
    """(shifts, multipliers, what is added to their products), each for all or for each channel."""
    more = added(call).reshape(-1) if "fraction" in call.operands else np.zeros(1, np.int64)
    return call.shift.data, call.multiplier.data, more


def _in_integers(arrays: Arrays, call: Call) -> Kernel:
    shifts, factors, more = (_along(call, vector) for vector in _vectors(call))
    multiplier, shift = (arrays.load(each, "int64") for each in (factors, shifts))
    half = arrays.load((1 << (shifts - 1)) + more, "int64")
    return lambda x: shifted(arrays, call, arrays.cast(x, "int64") * multiplier, half, shift)


def _along(call: Call, vector: Integers) -> Integers:
    """One number, or one for each index of the axis, shaped to broadcast against the batch."""
    shape = [1] * (len(call.x.shape) + 1)
    if vector.size > 1:
        shape[call.axis + 1] = -1
    return vector.reshape(shape)


def shifted(arrays: Arrays, call: Call, total: Any, half: Any, shift: Any) -> Any:
    """The one rounding, in place: `total` is int64 and ours alone."""
    total += half
    total >>= shift
    total += call.zero
    return arrays.cast(total.clip(call.lo, call.hi), "int32")
