"""The core ops on machine integers, once for numpy and torch; exact by the proofs that the program carries.

Every value is held as int32, which the ops' constraints prove wide enough. A product of matrices runs in floating
point: all partial sums are integers below 2^24 (then float32 is exact) or, by C1, below 2^31 (then float64 is).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from ..compiler.arrays import Integers
from .dividing import divide, standardize
from .fixed.broadcast import centred, product, spread
from .fixed.op import Call
from .fixed.ops.requantize import added
from .fixed.ops.slice import taken
from .fixed.ops.transpose import permuted
from .fixed.sums import partial_dot, scaled
from .fixed.types import INT32, Range
from .fixed.window import Window
from .stepwise import Kernel, KernelMaker

SINGLE = Range(-(2**24), 2**24)
DOUBLE = 2**53
COLUMN_BYTES = 2**25


@dataclass(frozen=True)
class Arrays:
    """What numpy and torch spell differently. dtypes are named "int32", "int64", "float32", "float64".

    floor_, add_product_: in place; the latter is y + a b.
    """

    full: Callable[[tuple[int, ...], int, str], Any]
    cast: Callable[[Any, str], Any]
    load: Callable[[Integers, str], Any]
    maximum: Callable[[Any, Any], Any]
    permute: Callable[[Any, tuple[int, ...]], Any]
    floor_: Callable[[Any], Any]
    add_product_: Callable[[Any, Any, Any], Any]


def makers(arrays: Arrays) -> Mapping[str, KernelMaker]:
    """The kernel maker of every core op on those arrays."""
    found = {
        "conv2d": convolution, "conv3d": convolution, "linear": linear, "rescale": rescale, "add": add, "clamp": clamp,
        "max_pool2d": max_pool2d, "sum": sum_, "reshape": reshape, "pad2d": pad2d, "slice": slice_, "concat": concat,
        "take": take, "transpose": transpose, "table": table, "multiply": multiply,
        "requantize": requantize, "matmul": matmul, "divide": divide, "standardize": standardize,
    }  # fmt: skip
    return {name: partial(maker, arrays) for name, maker in found.items()}


def convolution(arrays: Arrays, call: Call) -> Kernel:
    """im2col and one matrix product a group; a depthwise convolution sums its taps instead."""
    outputs, depth, *kernel = call.weight.shape
    seen = call.x.range | Range(call.pad_value, call.pad_value) if any(call.padding) else call.x.range
    dtype = _exact_dtype(call.weight.data, seen)
    window, shape = Window.over(call, call.weight.shape[2:]), call.x.shape
    sizes, ones = window.output(*shape[1:]), [1] * len(kernel)
    bias = arrays.load(call.bias.data.reshape(1, -1, *ones), "int32")
    if depth == 1 and outputs == call.groups:
        taps = arrays.load(call.weight.data.reshape(1, outputs, -1, *ones), "int32")
        return lambda x: _depthwise(arrays, window, _padded(arrays, window, x, call.pad_value), shape, taps) + bias
    weight = arrays.load(call.weight.data.reshape(call.groups, outputs // call.groups, -1), dtype)
    images = max(1, COLUMN_BYTES // (8 * shape[0] * math.prod((*kernel, *sizes))))

    def run(x: Any) -> Any:
        y = arrays.full((len(x), outputs, *sizes), 0, "int32")
        for some in _chunks(len(x), images):
            columns = _columns(arrays, window, _padded(arrays, window, x[some], call.pad_value), shape, dtype)
            product = weight @ columns.reshape(call.groups, weight.shape[2], -1)
            y[some] = product.reshape(outputs, -1, *sizes).swapaxes(0, 1)
        y += bias
        return y

    return run


def linear(arrays: Arrays, call: Call) -> Kernel:
    dtype = _exact_dtype(call.weight.data, call.x.range)
    weight = arrays.load(call.weight.data.T, dtype)
    bias = arrays.load(call.bias.data, "int32")
    return lambda x: arrays.cast(arrays.cast(x, dtype) @ weight, "int32") + bias


def rescale(arrays: Arrays, call: Call) -> Kernel:
    return _rescaled(arrays, call, 0)


def requantize(arrays: Arrays, call: Call) -> Kernel:
    return _rescaled(arrays, call, _along(call, added(call)))


def _rescaled(arrays: Arrays, call: Call, more: Any) -> Kernel:
    shifts, factors = _along(call, call.shift.data), _along(call, call.multiplier.data)
    added = (call.zero << shifts.astype(object)) + (1 << (shifts - 1)) + more
    if call.x.range.magnitude * int(factors.max()) + int(abs(added).max()) <= DOUBLE:
        return _in_floats(arrays, call, factors / 2.0**shifts, (added / 2 ** shifts.astype(object)).astype(np.float64))
    multiplier, shift = (arrays.load(each, "int64") for each in (factors, shifts))
    half = arrays.load((1 << (shifts - 1)) + more, "int64")
    return lambda x: _requantized(arrays, call, arrays.cast(x, "int64") * multiplier, half, shift)


def _in_floats(arrays: Arrays, call: Call, factor: Any, plus: Any) -> Kernel:
    """As the integers, where each product and sum is an integer of 53 bits over a power of two: nothing is rounded."""
    factor, plus = (arrays.load(each, "float64") for each in (factor, plus))

    def run(x: Any) -> Any:
        total = arrays.cast(x, "float64")
        total *= factor
        total += plus
        return arrays.cast(arrays.floor_(total).clip(call.lo, call.hi), "int32")

    return run


def _along(call: Call, vector: Integers) -> Integers:
    """One number, or one for each index of the axis, shaped to broadcast against the batch."""
    shape = [1] * (len(call.x.shape) + 1)
    if vector.size > 1:
        shape[call.axis + 1] = -1
    return vector.reshape(shape)


def add(arrays: Arrays, call: Call) -> Kernel:
    half, whole = call.offset + (1 << (call.shift - 1)), call.a.shape == spread(call)

    def run(a: Any, b: Any) -> Any:
        total = arrays.cast(a, "int64") * call.multiplier_a
        other = arrays.cast(b, "int64") * call.multiplier_b
        if whole:
            total += other
        else:
            total = total + other
        return _requantized(arrays, call, total, half, call.shift)

    return run


def clamp(arrays: Arrays, call: Call) -> Kernel:
    return lambda x: x.clip(call.lo, call.hi)


def max_pool2d(arrays: Arrays, call: Call) -> Kernel:
    window = Window.over(call)

    def run(x: Any) -> Any:
        padded = _padded(arrays, window, x, INT32.lo)
        first, *rest = (padded[:, :, *tap] for tap in window.taps(*call.x.shape[1:]))
        for tap in rest:
            first = arrays.maximum(first, tap)
        return first

    return run


def sum_(arrays: Arrays, call: Call) -> Kernel:
    axes = tuple(axis + 1 for axis in call.axes)
    return lambda x: arrays.cast(x.sum(axis=axes, keepdims=bool(call.keepdim)), "int32")


def reshape(arrays: Arrays, call: Call) -> Kernel:
    shape = call.shape
    return lambda x: x.reshape((len(x), *shape))


def pad2d(arrays: Arrays, call: Call) -> Kernel:
    window = Window((1, 1), (1, 1), call.padding)
    return lambda x: _padded(arrays, window, x, call.pad_value)


def slice_(arrays: Arrays, call: Call) -> Kernel:
    places = taken(call.start, call.stop, call.step)
    return lambda x: x[places]


def table(arrays: Arrays, call: Call) -> Kernel:
    rows, entries = call.table.shape
    values = arrays.load(call.table.data.reshape(-1), "int32")
    start = [-1 if axis == call.axis else 1 for axis in range(-1, len(call.x.shape))] if rows > 1 else [1]
    starts = arrays.load(np.arange(rows).reshape(start) * entries - call.first, "int64")
    last = call.first + entries - 1
    return lambda x: values.take(arrays.cast(x.clip(call.first, last), "int64") + starts)


def multiply(arrays: Arrays, call: Call) -> Kernel:
    return lambda a, b: (a - call.zero_a) * (b - call.zero_b)


def matmul(arrays: Arrays, call: Call) -> Kernel:
    term = product(*centred(call)) | Range(0, 0)
    dtype = "float32" if scaled(term, call.a.shape[-1]) in SINGLE else "float64"
    zeros = call.zero_a, call.zero_b

    def run(*given: Any) -> Any:
        a, b = (arrays.cast(x - zero, dtype) for x, zero in zip(given, zeros, strict=True))
        return arrays.cast(a @ b.swapaxes(-1, -2), "int32")

    return run


def concat(arrays: Arrays, call: Call) -> Kernel:
    size, sizes = call.a.shape[call.axis], list(call.a.shape)
    sizes[call.axis] += call.b.shape[call.axis]
    before = [slice(None)] * (call.axis + 1)

    def run(a: Any, b: Any) -> Any:
        y = arrays.full((len(a), *sizes), 0, "int32")
        y[*before, :size] = a
        y[*before, size:] = b
        return y

    return run


def take(arrays: Arrays, call: Call) -> Kernel:
    index = (*[slice(None)] * (call.axis + 1), arrays.load(call.places.data, "int64"))
    return lambda x: x[index]


def transpose(arrays: Arrays, call: Call) -> Kernel:
    axes = permuted(call.axes)
    return lambda x: arrays.permute(x, axes)


def _exact_dtype(weight: Integers, x: Range) -> str:
    """The narrowest float in which every partial sum of the products, in any order, is exact."""
    bias = np.zeros(len(weight), np.int64)
    return "float32" if partial_dot(weight, bias, x) in SINGLE else "float64"


def _requantized(arrays: Arrays, call: Call, total: Any, half: Any, shift: Any) -> Any:
    """The one rounding, in place: `total` is int64 and ours alone."""
    total += half
    total >>= shift
    total += call.zero
    return arrays.cast(total.clip(call.lo, call.hi), "int32")


def _chunks(batch: int, images: int) -> Iterator[slice]:
    return (slice(start, start + images) for start in range(0, batch, images))


def _padded(arrays: Arrays, window: Window, x: Any, fill: int) -> Any:
    if not window.pads:
        return x
    spatial = len(window.kernel)
    outer, sizes = x.shape[:-spatial], x.shape[-spatial:]
    padded = arrays.full((*outer, *window.padded(*sizes)), fill, "int32")
    inside = [slice(before, before + size) for (before, _), size in zip(window.borders, sizes, strict=True)]
    padded[..., *inside] = x
    return padded


def _columns(arrays: Arrays, window: Window, padded: Any, shape: tuple[int, ...], dtype: str) -> Any:
    """(channels, taps, batch, *sizes): what each tap of the kernel sees, ready for one product with weights."""
    sizes = (shape[0], math.prod(window.kernel), len(padded), *window.output(*shape[1:]))
    columns = arrays.full(sizes, 0, dtype)
    for place, tap in enumerate(window.taps(*shape[1:])):
        columns[:, place] = padded[:, :, *tap].swapaxes(0, 1)
    return columns


def _depthwise(arrays: Arrays, window: Window, padded: Any, shape: tuple[int, ...], weight: Any) -> Any:
    y = arrays.full((len(padded), shape[0], *window.output(*shape[1:])), 0, "int32")
    for place, tap in enumerate(window.taps(*shape[1:])):
        arrays.add_product_(y, padded[:, :, *tap], weight[:, :, place])
    return y
