"""Convolutions on machine integers, as products of matrices in floating point, or tap by tap.

All partial sums are integers below 2^24 (then float32 is exact) or, by C1, below 2^31 (then float64 is). What several
calls go over is cut into parts that stay in the cache.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..compiler.arrays import Integers
from .arrays import Arrays, blocks, runs
from .fixed.op import Call
from .fixed.sums import partial_dot
from .fixed.types import Range
from .fixed.window import Window
from .requantizing import Finish, finish
from .stepwise import Kernel

SINGLE = Range(-(2**24), 2**24)
COLUMN_BYTES = 2**25


def convolution(arrays: Arrays, call: Call) -> Kernel:
    """The sums with their bias."""
    bias = arrays.load(call.bias.data.reshape(-1, 1), "int32")
    return _convolution(arrays, call, Finish(lambda sums, some: arrays.cast(sums, "int32") + bias[some]))


def rounded_convolution(arrays: Arrays, call: Call, rounding: Call) -> Kernel | None:
    """The sums, rounded while they are in the cache; nothing where that would not be exact, or not by channels."""
    channels = max(operand.shape[0] for name, operand in rounding.operands.items() if name != "x")
    found = finish(arrays, rounding, call.bias.data)
    return None if found is None or (rounding.axis and channels > 1) else _convolution(arrays, call, found)


def _convolution(arrays: Arrays, call: Call, end: Finish) -> Kernel:
    """A depthwise one tap by tap, one of single pixels as it lies; any other by im2col, a product a group."""
    outputs, depth, *kernel = call.weight.shape
    seen = call.x.range | Range(call.pad_value, call.pad_value) if any(call.padding) else call.x.range
    dtype, window = exact_dtype(call.weight.data, seen), Window.over(call, call.weight.shape[2:])
    if depth == 1 and outputs == call.groups:
        return _depthwise(arrays, call, window, end, "float32" if dtype == "float32" else "int32")
    if call.groups == math.prod(kernel) == 1 and not window.pads and set(call.stride) == {1}:
        return _of_pixels(arrays, call, end, dtype)
    return _by_columns(arrays, call, window, end, dtype)


def _of_pixels(arrays: Arrays, call: Call, end: Finish, dtype: str) -> Kernel:
    outputs, depth, *_ = call.weight.shape
    weight = arrays.load(call.weight.data.reshape(outputs, depth), dtype)
    sizes = call.x.shape[1:]
    pixels = math.prod(sizes)

    def run(x: Any) -> Any:
        y = arrays.empty((len(x), outputs, *sizes), "int32")
        for image, found in zip(x.reshape(len(x), depth, pixels), y.reshape(len(x), outputs, pixels), strict=True):
            for part in runs(pixels, max(depth, outputs)):
                found[:, part] = end.of(weight @ arrays.cast(image[:, part], dtype), slice(None))
                if end.lo:
                    found[:, part] += end.lo
        return y

    return run


def _by_columns(arrays: Arrays, call: Call, window: Window, end: Finish, dtype: str) -> Kernel:
    outputs, _, *kernel = call.weight.shape
    shape, sizes = call.x.shape, window.output(*call.x.shape[1:])
    weight = arrays.load(call.weight.data.reshape(call.groups, outputs // call.groups, -1), dtype)
    images = max(1, COLUMN_BYTES // (8 * shape[0] * math.prod((*kernel, *sizes))))

    def run(x: Any) -> Any:
        y = arrays.empty((len(x), outputs, *sizes), "int32")
        for start in range(0, len(x), images):
            some = slice(start, start + images)
            columns = _columns(arrays, window, padded(arrays, window, x[some], call.pad_value), shape, dtype)
            product = weight @ columns.reshape(call.groups, weight.shape[2], -1)
            found = end.of(product.reshape(outputs, -1), slice(None))
            y[some] = found.reshape(outputs, -1, *sizes).swapaxes(0, 1)
            if end.lo:
                y[some] += end.lo
        return y

    return run


def _depthwise(arrays: Arrays, call: Call, window: Window, end: Finish, dtype: str) -> Kernel:
    """Channel by channel the sum of what each tap sees."""
    outputs = len(call.weight.data)
    phases = Phases.of(window, call.x.shape[1:])
    weight = arrays.load(call.weight.data.reshape(outputs, -1, 1), dtype)

    def run(x: Any) -> Any:
        y = arrays.empty((len(x), outputs, *phases.outputs), "int32")
        for rows, some in blocks(len(x), outputs, math.prod(phases.wide)):
            seen = phases.cut(arrays, x[rows, some], call.pad_value, dtype)
            sums = arrays.full((*seen.shape[:2], math.prod(phases.held)), 0, dtype)
            for place, (phase, start) in enumerate(phases.taps):
                run = seen[:, :, phase, start : start + phases.length]
                arrays.add_product_(sums[..., : phases.length], run, weight[some, place])
            found = end.of(sums, some).reshape(*seen.shape[:2], *phases.held)
            y[rows, some] = found[phases.inside]
            if end.lo:
                y[rows, some] += end.lo
        return y

    return run


@dataclass(frozen=True)
class Phases:
    """A window over images whose pixels lie apart by their places within a stride: each tap sees a run of one phase.

    wide: the padded image, a multiple of the stride.   grid: of a phase.   outputs: their sizes.   held: outputs with
    what stands between the ends of their lines.   length: from the first output to the last.   taps: (phase, start).
    """

    window: Window
    wide: tuple[int, ...]
    grid: tuple[int, ...]
    outputs: tuple[int, ...]
    taps: tuple[tuple[int, int], ...]

    @staticmethod
    def of(window: Window, sizes: tuple[int, ...]) -> Phases:
        stride = window.stride
        grid = tuple(-(-size // s) for size, s in zip(window.padded(*sizes), stride, strict=True))
        wide = tuple(size * s for size, s in zip(grid, stride, strict=True))
        taps = []
        for place in np.ndindex(*window.kernel):
            first = [k * d for k, d in zip(place, window.dilation, strict=True)]
            cells = zip(*(divmod(f, s) for f, s in zip(first, stride, strict=True)), strict=True)
            cell, phase = (tuple(axis) for axis in cells)
            taps.append((int(np.ravel_multi_index(phase, stride)), int(np.ravel_multi_index(cell, grid))))
        return Phases(window, wide, grid, window.output(*sizes), tuple(taps))

    @property
    def held(self) -> tuple[int, ...]:
        return (self.outputs[0], *self.grid[1:])

    @property
    def length(self) -> int:
        return int(np.ravel_multi_index(tuple(n - 1 for n in self.outputs), self.grid)) + 1

    @property
    def inside(self) -> tuple[slice, ...]:
        """The outputs among what is held."""
        return (slice(None), slice(None), *(slice(size) for size in self.outputs))

    def cut(self, arrays: Arrays, x: Any, fill: int, dtype: str) -> Any:
        """(batch, channels, phases, pixels of a phase) of images."""
        outer, axes = x.shape[:2], len(self.wide)
        whole = arrays.full((*outer, *self.wide), fill, dtype)
        before = [first for first, _ in self.window.borders]
        whole[..., *(slice(b, b + n) for b, n in zip(before, x.shape[2:], strict=True))] = x
        pairs = [size for pair in zip(self.grid, self.window.stride, strict=True) for size in pair]
        turned = (0, 1, *range(3, 3 + 2 * axes, 2), *range(2, 2 + 2 * axes, 2))
        apart = arrays.permute(whole.reshape(*outer, *pairs), turned)
        return apart.reshape(*outer, math.prod(self.window.stride), math.prod(self.grid))


def exact_dtype(weight: Integers, x: Range) -> str:
    """The narrowest float in which every partial sum of the products, in any order, is exact."""
    bias = np.zeros(len(weight), np.int64)
    return "float32" if partial_dot(weight, bias, x) in SINGLE else "float64"


def padded(arrays: Arrays, window: Window, x: Any, fill: int, dtype: str = "int32") -> Any:
    """x with its border."""
    if not window.pads:
        return x
    spatial = len(window.kernel)
    outer, sizes = x.shape[:-spatial], x.shape[-spatial:]
    whole = arrays.full((*outer, *window.padded(*sizes)), fill, dtype)
    inside = [slice(before, before + size) for (before, _), size in zip(window.borders, sizes, strict=True)]
    whole[..., *inside] = x
    return whole


def _columns(arrays: Arrays, window: Window, padded: Any, shape: tuple[int, ...], dtype: str) -> Any:
    """(channels, taps, batch, *sizes): what each tap of the kernel sees, ready for one product with weights."""
    sizes = (shape[0], math.prod(window.kernel), len(padded), *window.output(*shape[1:]))
    columns = arrays.empty(sizes, dtype)
    for place, tap in enumerate(window.taps(*shape[1:])):
        columns[:, place] = padded[:, :, *tap].swapaxes(0, 1)
    return columns
