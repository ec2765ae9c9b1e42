"""Quotient of two tensors, element by element, brought to a grid with one rounding.

    q = clamp(floor(n M / (d 2^s) + 1/2) + zero, lo, hi)        n = a - zero_a,  d = max(1, b - zero_b)

which is (n M + (d << (s-1))) / (d << s), rounded down, in 64 bits: by C3 the first product takes 56 of them. Where one
of a and b has size 1 along an axis it is spread along it: a row is divided by its sum.
"""

from __future__ import annotations

from typing import Any

from ....compiler.arrays import Integers
from ..broadcast import alike, centred, spread
from ..op import Call, Constraint, Legal, Op
from ..rounding import ANY_INT32, SHIFT, saturations
from ..types import INT32, Range

WIDE = 2**62 - 1


def quotient(a: Any, b: Any, multiplier: int, shift: int) -> Any:
    """a M / (b 2^s), the nearest integer, halves up."""
    return (a * multiplier + (b << (shift - 1))) // (b << shift)


def _divisor(call: Call) -> Range:
    return centred(call)[1].clamp(1, WIDE)


def _range(call: Call) -> Range:
    a, b = centred(call)[0], _divisor(call)
    ends = [quotient(p, q, call.multiplier, call.shift) + call.zero for p in (a.lo, a.hi) for q in (b.lo, b.hi)]
    return Range(min(ends), max(ends)).clamp(call.lo, call.hi)


def _value(
    a: Integers, b: Integers, *, zero_a: int, zero_b: int, multiplier: int, shift: int, zero: int, lo: int, hi: int
) -> Integers:
    moved: Integers = quotient(a - zero_a, (b - zero_b).clip(1), multiplier, shift) + zero
    return moved.clip(lo, hi)


def _edges(call: Call) -> list[int]:
    """Of a while it is divided by 1 or 2, and the ends of both."""
    found = [0, call.zero_b + 1, call.zero_b + 2, *(end for x in (call.a.range, call.b.range) for end in (x.lo, x.hi))]
    for bound in (call.lo, call.hi):
        found += [place + call.zero_a for place in saturations(call.multiplier, call.shift, bound - call.zero)]
    return found


OP = Op(
    code=23,
    inputs=("a", "b"),
    attributes={
        "zero_a": ANY_INT32,
        "zero_b": ANY_INT32,
        "multiplier": Legal(1, 2**24),
        "shift": SHIFT,
        "zero": ANY_INT32,
        "lo": ANY_INT32,
        "hi": ANY_INT32,
    },
    constraints=(
        Constraint("C2", "a and b have as many axes, along each of one size, or of size 1 in one of them.", alike),
        Constraint(
            "C3",
            "a - zero_a and b - zero_b fit signed 32-bit integers.",
            lambda call: all(term in INT32 for term in centred(call)),
        ),
        Constraint("C4", "lo is not above hi.", lambda call: call.lo <= call.hi),
        Constraint("C1", "d 2^s fits signed 63 bits.", lambda call: _divisor(call).hi << call.shift <= WIDE),
    ),
    shape=spread,
    range=_range,
    value=_value,
    edges=_edges,
)
