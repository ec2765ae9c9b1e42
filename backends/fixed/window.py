"""Where a sliding window lands: the output's size, and the strided slice of the input that each tap reads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import numpy as np

from ...compiler.arrays import Integers
from .op import Call


@dataclass(frozen=True)
class Window:
    """A 2-D window over the last two axes. Pairs are (vertical, horizontal), padding is (top, bottom, left, right)."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int, int, int]
    dilation: tuple[int, int] = (1, 1)

    @staticmethod
    def over(call: Call, kernel: tuple[int, ...] | None = None) -> Window:
        """The window of a step; a convolution passes its kernel size, a pool has it as an attribute."""
        sizes = cast(tuple[int, int], kernel or call.kernel)
        return Window(sizes, call.stride, call.padding, call.attributes.get("dilation", (1, 1)))  # type: ignore[arg-type]

    @property
    def pads(self) -> bool:
        return any(self.padding)

    def padded(self, height: int, width: int) -> tuple[int, int]:
        """The size of the input with its padding."""
        top, bottom, left, right = self.padding
        return height + top + bottom, width + left + right

    def fits(self, height: int, width: int) -> bool:
        """Whether the padded input holds at least one window."""
        sizes = zip(self.padded(height, width), self._reach(), strict=True)
        return all(size >= reach for size, reach in sizes)

    def output(self, height: int, width: int) -> tuple[int, int]:
        """floor((padded - dilation * (kernel - 1) - 1) / stride) + 1, each way."""
        axes = zip(self.padded(height, width), self._reach(), self.stride, strict=True)
        down, across = ((size - reach) // stride + 1 for size, reach, stride in axes)
        return down, across

    def always_sees(self, height: int, width: int) -> bool:
        """Whether every window holds at least one element that is not padding."""
        down, across = self.output(height, width)
        return self._sees(0, height, down) and self._sees(1, width, across)

    def taps(self, height: int, width: int) -> Iterator[tuple[slice, slice]]:
        """For each kernel element, row by row: the slices of the padded input it meets, one element an output."""
        sizes = self.output(height, width)
        for place in np.ndindex(*self.kernel):
            rows, columns = (
                slice(k * d, k * d + (n - 1) * s + 1, s)
                for k, d, n, s in zip(place, self.dilation, sizes, self.stride, strict=True)
            )
            yield rows, columns

    def pad(self, x: Integers, fill: int) -> Integers:
        """x with `fill` around its last two axes."""
        top, bottom, left, right = self.padding
        return np.pad(x, [(0, 0)] * (x.ndim - 2) + [(top, bottom), (left, right)], constant_values=fill)

    def _reach(self) -> tuple[int, int]:
        down, across = (d * (k - 1) + 1 for k, d in zip(self.kernel, self.dilation, strict=True))
        return down, across

    def _sees(self, axis: int, size: int, outputs: int) -> bool:
        starts = np.arange(outputs) * self.stride[axis] - self.padding[2 * axis]
        first = np.maximum(0, -(starts // self.dilation[axis]))  # the first tap that is not before the input
        inside = starts + first * self.dilation[axis] < size
        return bool((inside & (first < self.kernel[axis])).all())
