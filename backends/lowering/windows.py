"""Windows of average pools along each axis: where each begins and ends, and by what count its sum is divided."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np

from ...compiler.arrays import Integers
from .lower import Node


@dataclass(frozen=True)
class Span:
    """The windows along one axis of that size, (start, stop) each, which may reach beyond it, and their counts."""

    size: int
    windows: tuple[tuple[int, int], ...]
    counts: tuple[int, ...]

    @property
    def kernel(self) -> int:
        """The length of a window, if they are all alike."""
        return self.windows[0][1] - self.windows[0][0]

    @property
    def stride(self) -> int:
        """The distance of two windows, if they are all alike."""
        return self.windows[1][0] - self.windows[0][0] if len(self.windows) > 1 else 1

    @property
    def padding(self) -> tuple[int, int]:
        """By how much the windows reach beyond either end."""
        return max(0, -self.windows[0][0]), max(0, self.windows[-1][1] - self.size)

    @property
    def even(self) -> bool:
        """Whether the windows have one length, which is their count, and one distance, which is not 0."""
        starts = [start for start, _ in self.windows]
        alike = {stop - start for start, stop in self.windows} == {self.kernel} == set(self.counts)
        return alike and self.stride > 0 and starts == [starts[0] + i * self.stride for i in range(len(starts))]

    @property
    def chosen(self) -> Integers:
        """(windows, size): 1 where an element lies in a window."""
        places = np.arange(self.size)
        return np.array([(start <= places) & (places < stop) for start, stop in self.windows]).astype(np.int64)


def adaptive(node: Node, sizes: tuple[int, ...]) -> list[Span]:
    """Those of an adaptive pool of so many windows, from floor(i n / windows) to ceil((i + 1) n / windows)."""
    wanted = _list(node, "output_size")
    found = []
    for n, given in zip(sizes[-len(wanted) :], wanted, strict=True):
        out = n if given is None else given
        windows = tuple((i * n // out, -(-(i + 1) * n // out)) for i in range(out))
        found.append(Span(n, windows, tuple(stop - start for start, stop in windows)))
    return found


def pooled(node: Node, sizes: tuple[int, ...]) -> list[Span]:
    """Those of a pool with a kernel, a stride and a padding, which counts or does not."""
    kernel = _list(node, "kernel_size")
    stride, padding = _list(node, "stride", len(kernel)) or kernel, _list(node, "padding", len(kernel))
    axes = zip(sizes[-len(kernel) :], node.shape[-len(kernel) :], kernel, stride, padding, strict=True)
    found = []
    for n, out, k, s, p in axes:
        windows = tuple((i * s - p, min(i * s - p + k, n + p)) for i in range(out))
        inside = tuple(min(stop, n) - max(start, 0) for start, stop in windows)
        given = tuple(stop - start for start, stop in windows)
        found.append(Span(n, windows, given if node.given["count_include_pad"] else inside))
    return found


def _list(node: Node, name: str, length: int = 1) -> list[int]:
    value = node.given[name]
    listed = [value] if isinstance(value, int) else list(value)
    return listed * length if len(listed) == 1 else listed


def matrix(spans: Sequence[Span], divisor: int | None) -> tuple[Integers, int]:
    """((windows, elements), n): what each window multiplies each element by, for n times its average.

    divisor: what each sum is divided by, if not by its count.
    """
    chosen = _product(span.chosen for span in spans)
    counts = _product(np.array(span.counts) for span in spans)
    if divisor is not None:
        return chosen, divisor
    least = int(np.lcm.reduce(counts))
    return chosen * (least // counts)[:, None], least


def _product(factors: Iterable[Integers]) -> Integers:
    found: Integers = reduce(np.kron, factors)
    return found
