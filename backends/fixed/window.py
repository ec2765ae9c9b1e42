"""Where a sliding window lands: the output's size, and the strided slice of the input that each tap reads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ...compiler.arrays import Integers
from .op import Call


@dataclass(frozen=True)
class Window:
    """A window over the last axes, one number for each. padding is before and behind: (top, bottom, left, right)."""

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...] = (1, 1)

    @staticmethod
    def over(call: Call, kernel: tuple[int, ...] | None = None) -> Window:
        """The window of a step; a convolution passes its kernel size, a pool has it as an attribute."""
        sizes = kernel or call.kernel
        return Window(sizes, call.stride, call.padding, call.attributes.get("dilation", (1,) * len(sizes)))  # type: ignore[arg-type]

    @property
    def pads(self) -> bool:
        return any(self.padding)

    @property
    def borders(self) -> list[tuple[int, int]]:
        """(before, behind) for each axis."""
        return list(zip(self.padding[::2], self.padding[1::2], strict=True))

    def padded(self, *sizes: int) -> tuple[int, ...]:
        """The size of the input with its padding."""
        return tuple(size + sum(border) for size, border in zip(sizes, self.borders, strict=True))

    def fits(self, *sizes: int) -> bool:
        """Whether the padded input holds at least one window."""
        return all(size >= reach for size, reach in zip(self.padded(*sizes), self._reach(), strict=True))

    def output(self, *sizes: int) -> tuple[int, ...]:
        """floor((padded - dilation * (kernel - 1) - 1) / stride) + 1, each way."""
        axes = zip(self.padded(*sizes), self._reach(), self.stride, strict=True)
        return tuple((size - reach) // stride + 1 for size, reach, stride in axes)

    def always_sees(self, *sizes: int) -> bool:
        """Whether every window holds at least one element that is not padding."""
        outputs = self.output(*sizes)
        return all(self._sees(axis, size, outputs[axis]) for axis, size in enumerate(sizes))

    def taps(self, *sizes: int) -> Iterator[tuple[slice, ...]]:
        """For each kernel element, row by row: the slices of the padded input it meets, one element an output."""
        outputs = self.output(*sizes)
        for place in np.ndindex(*self.kernel):
            axes = zip(place, self.dilation, outputs, self.stride, strict=True)
            yield tuple(slice(k * d, k * d + (n - 1) * s + 1, s) for k, d, n, s in axes)

    def pad(self, x: Integers, fill: int) -> Integers:
        """x with `fill` around its last axes."""
        before = [(0, 0)] * (x.ndim - len(self.kernel))
        return np.pad(x, [*before, *self.borders], constant_values=fill)

    def _reach(self) -> tuple[int, ...]:
        return tuple(d * (k - 1) + 1 for k, d in zip(self.kernel, self.dilation, strict=True))

    def _sees(self, axis: int, size: int, outputs: int) -> bool:
        starts = np.arange(outputs) * self.stride[axis] - self.padding[2 * axis]
        first = np.maximum(0, -(starts // self.dilation[axis]))  # the first tap that is not before the input
        inside = starts + first * self.dilation[axis] < size
        return bool((inside & (first < self.kernel[axis])).all())
