"""The core ops on machine integers, once for numpy and torch; exact by the proofs that the program carries.

Every value is held as int32, which the ops' constraints prove wide enough. A product of matrices runs in floating
point: all partial sums are integers below 2^24 (then float32 is exact) or, by C1, below 2^31 (then float64 is). So does
a requantization wherever 53 bits hold it, and else in 64 bits.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from .arrays import Arrays
from .convolving import SINGLE, convolution, exact_dtype, padded, rounded_convolution
from .dividing import divide, standardize
from .fixed.broadcast import centred, product, spread
from .fixed.op import Call
from .fixed.ops.slice import taken
from .fixed.ops.transpose import permuted
from .fixed.sums import scaled
from .fixed.types import INT32, Range
from .fixed.window import Window
from .requantizing import requantize, shifted
from .stepwise import JointMaker, Kernel, KernelMaker


def makers(arrays: Arrays) -> Mapping[str, KernelMaker]:
    """The kernel maker of every core op on those arrays."""
    found = {
        "conv2d": convolution, "conv3d": convolution, "linear": linear, "rescale": requantize, "add": add,
        "clamp": clamp, "max_pool2d": max_pool2d, "sum": sum_, "reshape": reshape, "pad2d": pad2d, "slice": slice_,
        "concat": concat, "take": take, "transpose": transpose, "table": table, "multiply": multiply,
        "requantize": requantize, "matmul": matmul, "divide": divide, "standardize": standardize,
    }  # fmt: skip
    return {name: partial(maker, arrays) for name, maker in found.items()}


def joint(arrays: Arrays) -> Mapping[tuple[str, str], JointMaker]:
    """The kernel maker of two steps of which the first feeds the second alone."""
    return {
        (first, second): partial(rounded_convolution, arrays)
        for first in ("conv2d", "conv3d")
        for second in ("rescale", "requantize")
    }


def linear(arrays: Arrays, call: Call) -> Kernel:
    dtype = exact_dtype(call.weight.data, call.x.range)
    weight = arrays.load(call.weight.data.T, dtype)
    bias = arrays.load(call.bias.data, "int32")
    return lambda x: arrays.cast(arrays.cast(x, dtype) @ weight, "int32") + bias


def add(arrays: Arrays, call: Call) -> Kernel:
    half, whole = call.offset + (1 << (call.shift - 1)), call.a.shape == spread(call)

    def run(a: Any, b: Any) -> Any:
        total = arrays.cast(a, "int64") * call.multiplier_a
        other = arrays.cast(b, "int64") * call.multiplier_b
        if whole:
            total += other
        else:
            total = total + other
        return shifted(arrays, call, total, half, call.shift)

    return run


def clamp(arrays: Arrays, call: Call) -> Kernel:
    return lambda x: x.clip(call.lo, call.hi)


def max_pool2d(arrays: Arrays, call: Call) -> Kernel:
    window = Window.over(call)

    def run(x: Any) -> Any:
        whole = padded(arrays, window, x, INT32.lo)
        first, *rest = (whole[:, :, *tap] for tap in window.taps(*call.x.shape[1:]))
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
    return lambda x: padded(arrays, window, x, call.pad_value)


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
        y = arrays.empty((len(a), *sizes), "int32")
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
