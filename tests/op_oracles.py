"""A second, independent statement of what each integer op computes: torch in float64, or exact rational numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from decimal import Decimal, localcontext
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

Array = np.ndarray[Any, Any]


def _double(values: Array) -> torch.Tensor:
    return torch.tensor(values.astype(np.float64))


def _whole(values: torch.Tensor) -> Array:
    return values.numpy().astype(np.int64)


def _pad(x: Array, padding: tuple[int, ...], fill: float) -> torch.Tensor:
    """padding: (before, behind) of each axis; of the last one first, as torch has it."""
    pairs = list(zip(padding[::2], padding[1::2], strict=True))
    return F.pad(_double(x), [size for pair in reversed(pairs) for size in pair], value=fill)


def _nearest(exact: Fraction, zero: int, lo: int, hi: int) -> int:
    """The nearest integer, halves up, moved and saturated."""
    return min(max(math.floor(exact + Fraction(1, 2)) + zero, lo), hi)


def _convolution(
    x: Array, weight: Array, bias: Array, stride: Any, padding: Any, dilation: Any, groups: int, pad_value: int
) -> Array:
    padded = _pad(x, padding, pad_value)
    convolve = F.conv2d if x.ndim == 4 else F.conv3d
    return _whole(convolve(padded, _double(weight), _double(bias), stride, 0, dilation, groups))


def _linear(x: Array, weight: Array, bias: Array) -> Array:
    return _whole(F.linear(_double(x), _double(weight), _double(bias)))


def _rescale(x: Array, multiplier: Array, shift: Array, axis: int, zero: int, lo: int, hi: int) -> Array:
    result = np.zeros(x.shape, np.int64)
    for place in np.ndindex(*x.shape):
        channel = place[axis + 1] if len(multiplier) > 1 else 0
        exact = Fraction(int(x[place]) * int(multiplier[channel]), 2 ** int(shift[channel]))
        result[place] = _nearest(exact, zero, lo, hi)
    return result


def _requantize(
    x: Array, multiplier: Array, shift: Array, fraction: Array, axis: int, zero: int, lo: int, hi: int
) -> Array:
    result = np.zeros(x.shape, np.int64)
    for place in np.ndindex(*x.shape):
        m, s, f = (int(each[place[axis + 1] if len(each) > 1 else 0]) for each in (multiplier, shift, fraction))
        result[place] = _nearest(Fraction(int(x[place]) * m + math.floor(Fraction(f * m, 2**16)), 2**s), zero, lo, hi)
    return result


def _add(
    a: Array, b: Array, multiplier_a: int, multiplier_b: int, shift: int, zero: int, lo: int, hi: int, offset: int
) -> Array:
    a, b = np.broadcast_arrays(a, b)
    result = np.zeros(a.shape, np.int64)
    for place in np.ndindex(*a.shape):
        total = int(a[place]) * multiplier_a + int(b[place]) * multiplier_b + offset
        result[place] = _nearest(Fraction(total, 2**shift), zero, lo, hi)
    return result


def _max_pool2d(x: Array, kernel: Any, stride: Any, padding: Any, dilation: Any) -> Array:
    return _whole(F.max_pool2d(_pad(x, padding, -math.inf), kernel, stride, 0, dilation))


def _sum_pool2d(x: Array, kernel: Any, stride: Any, padding: Any, pad_value: int) -> Array:
    return _whole(F.avg_pool2d(_pad(x, padding, pad_value), kernel, stride, divisor_override=1))


def _sum(x: Array, axes: tuple[int, ...], keepdim: int) -> Array:
    return _whole(torch.sum(_double(x), [axis + 1 for axis in axes], keepdim=bool(keepdim)))


def _table(x: Array, table: Array, first: int, axis: int) -> Array:
    result = np.zeros(x.shape, np.int64)
    for place in np.ndindex(*x.shape):
        row = table[place[axis + 1] if len(table) > 1 else 0].tolist()
        known = dict(enumerate(row, first))
        result[place] = known.get(int(x[place]), row[0] if x[place] < first else row[-1])
    return result


def _multiply(a: Array, b: Array, zero_a: int, zero_b: int) -> Array:
    return _whole(torch.mul(_double(a) - zero_a, _double(b) - zero_b))


def _matmul(a: Array, b: Array, zero_a: int, zero_b: int) -> Array:
    return _whole(torch.einsum("...ik,...jk->...ij", _double(a) - zero_a, _double(b) - zero_b))


def _divide(
    a: Array, b: Array, zero_a: int, zero_b: int, multiplier: int, shift: int, zero: int, lo: int, hi: int
) -> Array:
    a, b = np.broadcast_arrays(a, b)
    result = np.zeros(a.shape, np.int64)
    for place in np.ndindex(*a.shape):
        exact = Fraction(int(a[place]) - zero_a, max(1, int(b[place]) - zero_b)) * Fraction(multiplier, 2**shift)
        result[place] = _nearest(exact, zero, lo, hi)
    return result


def _standardize(x: Array, centred: int, zero: int, fraction: int, epsilon: int, unit: int, lo: int, hi: int) -> Array:
    result = np.zeros(x.shape, np.int64)
    for place in np.ndindex(*x.shape[:-1]):
        row, n = [Fraction(int(q) - zero) for q in x[place]], x.shape[-1]
        mean = sum(row) / n if centred else Fraction(0)
        variance = sum((c - mean) ** 2 for c in row) / n
        with localcontext(prec=60):
            root = max(1, int(Decimal(int(variance * n * n) * 4**fraction + epsilon).sqrt()))
        for i, c in enumerate(row):
            result[*place, i] = _nearest((c - mean) * n * 2 ** (fraction + unit) / root, 0, lo, hi)
    return result


def _slice(x: Array, start: Any, stop: Any, step: Any) -> Array:
    for axis, places in enumerate(zip(start, stop, step, strict=True), 1):
        x = _whole(_double(x).index_select(axis, torch.arange(*places)))
    return x


ORACLES: Mapping[str, Callable[..., Array]] = {
    "conv2d": _convolution,
    "conv3d": _convolution,
    "concat": lambda a, b, axis: _whole(torch.cat([_double(a), _double(b)], axis + 1)),
    "take": lambda x, places, axis: _whole(_double(x).index_select(axis + 1, torch.tensor(places.astype(np.int64)))),
    "linear": _linear,
    "rescale": _rescale,
    "requantize": _requantize,
    "add": _add,
    "clamp": lambda x, lo, hi: _whole(torch.clamp(_double(x), lo, hi)),
    "max_pool2d": _max_pool2d,
    "sum_pool2d": _sum_pool2d,
    "sum": _sum,
    "reshape": lambda x, shape: _whole(torch.reshape(_double(x), (len(x), *shape))),
    "slice": _slice,
    "table": _table,
    "multiply": _multiply,
    "matmul": _matmul,
    "divide": _divide,
    "standardize": _standardize,
    "transpose": lambda x, axes: _whole(_double(x).permute(0, *(axis + 1 for axis in axes))),
    "pad2d": lambda x, padding, pad_value: _whole(_pad(x, padding, pad_value)),
}
"""On int64 arrays with a leading batch axis, attributes as keywords."""
