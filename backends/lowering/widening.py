"""Sums and products of more than 32 bits: parts that fit, put together behind a rounding too fine to be seen."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import takewhile

import numpy as np

from ...compiler.arrays import Integers
from ..fixed.sums import partial_dot, total
from ..fixed.types import INT32, Range
from .exact import combined
from .lower import Node
from .real import Real

MOST = 64
"""Parts of a weight."""
ROOM = 30
"""Bits of the magnitude of a sum that a bias of as many is added to."""
DIGIT = 8
"""Bits of the lower part of a factor."""


def fitting(weight: Integers, zero: int, seen: Range) -> list[Integers]:
    """The weight, outputs first, as a sum of weights whose accumulators fit 32 bits; none where it takes too many.

    zero, seen: the zero point of what is multiplied, and its range.
    """
    for count in takewhile(lambda count: count <= MOST, (2**i for i in range(MOST))):
        parts = list(_parts(weight, count))
        if all(fits(part, -zero * part.reshape(len(part), -1).sum(axis=1), seen) for part in parts):
            return parts
    return []


def fits(weight: Integers, bias: Integers, seen: Range) -> bool:
    """Whether every partial sum fits an accumulator."""
    return Range.of(bias) in INT32 and partial_dot(weight, bias, seen) in INT32


def _parts(weight: Integers, count: int) -> Iterator[Integers]:
    columns = np.arange(weight[0].size) * count // max(1, weight[0].size)
    for part in range(count):
        yield weight * (columns == part).reshape(weight.shape[1:])


def together(node: Node, values: list[int]) -> tuple[int, int]:
    """(the sum of a power of two of accumulators, in units of 2^bits; bits), in 31 bits, rounded at each addition."""
    bits = 0
    while len(values) > 1:
        pairs = list(zip(values[::2], values[1::2], strict=True))
        sums = [total(node.builder[value].range for value in pair) for pair in pairs]
        more = max(0, max(whole.bits for whole in sums) - ROOM - 1)
        values = [combined(node, a, b, 1, 1, finer=more) for a, b in pairs]
        bits += more
    return values[0], bits


def beyond(node: Node, value: int) -> int:
    """The bits by which a value exceeds what can be shrunk by none."""
    return max(0, node.builder[value].range.bits - ROOM - 1)


def shrunk(node: Node, value: int, bits: Integers, axis: int) -> int:
    """Accumulators in units that are 2^bits as large.   bits: of each channel, or of all; at least `beyond`."""
    vectors = (np.full(len(bits), 2**23), (23 + bits).clip(max=62))
    constants = [node.builder.shared(vector) for vector in vectors]
    return node.step("rescale", value, *constants, axis=axis, zero=0, lo=-(2**ROOM), hi=2**ROOM)


def digits(node: Node, x: Real) -> tuple[Real, Real]:
    """Two values whose sum is x, the first of multiples of 2^8, the second of 8 bits."""
    vectors = (node.builder.shared(np.array([part])) for part in (2**23, 23 + DIGIT))
    high = node.step("rescale", x.value, *vectors, axis=0, zero=0, lo=INT32.lo, hi=INT32.hi)
    low = combined(node, x.value, high, 1, -(2**DIGIT), -x.zero)
    half = 2 ** (DIGIT - 1)
    low = node.step("clamp", low, lo=-half - x.zero, hi=half - x.zero)
    return replace(x, value=high, scale=x.scale * 2**DIGIT, zero=0), replace(x, value=low, zero=0)
