"""Sums without rounding, and maxima over axes: what rules are made of that compare integers of one grid."""

from __future__ import annotations

import math

from ..fixed.ops import max_pool2d
from ..fixed.types import INT32
from .lower import Node
from .moving import cut

_LONGEST = max_pool2d.OP.attributes["kernel"].hi
_LIMITS = {"zero": 0, "lo": INT32.lo, "hi": INT32.hi}


def combined(node: Node, a: int, b: int, times_a: int, times_b: int, plus: int = 0, finer: int = 0) -> int:
    """(times_a a + times_b b + plus) / 2^finer, exactly but for that. The factors have up to 23 bits."""
    factors = {"multiplier_a": 2 * times_a, "multiplier_b": 2 * times_b, "offset": 2 * plus}
    return node.step("add", a, b, shift=1 + finer, **factors, **_LIMITS)


def difference(node: Node, a: int, b: int) -> int:
    """a - b."""
    return combined(node, a, b, 1, -1)


def reflected(node: Node, a: int, plus: int = 0) -> int:
    """plus - a."""
    return combined(node, a, a, -1, 0, plus)


def held(node: Node, value: int, lo: int, hi: int) -> int:
    """The integers between two limits."""
    return node.step("clamp", value, lo=lo, hi=hi)


def largest(node: Node, value: int, axis: int) -> int:
    """The maximum over an axis (counted without the batch), which keeps size 1."""
    shape = node.builder[value].shape
    if (size := shape[axis]) > _LONGEST:
        windows = tuple((first, min(first + _LONGEST, size)) for first in range(0, size, _LONGEST))
        return largest(node, largest_of_windows(node, value, axis, windows), axis)
    rows = (math.prod(shape[:axis]), shape[axis], math.prod(shape[axis + 1 :]))
    found = node.step(
        "max_pool2d",
        node.shaped(value, rows),
        kernel=(shape[axis], 1),
        stride=(1, 1),
        padding=(0, 0, 0, 0),
        dilation=(1, 1),
    )
    return node.shaped(found, (*shape[:axis], 1, *shape[axis + 1 :]))


def largest_of_windows(node: Node, value: int, axis: int, windows: tuple[tuple[int, int], ...]) -> int:
    """The maximum of each window (start, stop) along an axis."""
    parts = [largest(node, cut(node, value, axis, start, stop), axis) for start, stop in windows]
    whole = parts[0]
    for part in parts[1:]:
        whole = node.step("concat", whole, part, axis=axis)
    return whole
