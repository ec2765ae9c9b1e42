"""Sum of two tensors on different grids, brought to a third with one rounding.

    q = clamp(((a * multiplier_a + b * multiplier_b + offset + 2^(shift-1)) >> shift) + zero, lo, hi)        >> floors

Both multipliers share one shift, so the smaller may have few significant bits. `offset` takes in both zero points.
Where one of a and b has size 1 along an axis it is spread along it.
"""

from __future__ import annotations

from ....compiler.arrays import Integers
from ..broadcast import alike, spread
from ..op import Call, Constraint, Legal, Op
from ..rounding import ANY_INT32, SHIFT, halves_up, saturations, ties
from ..sums import partial, scaled, total
from ..types import Range

WIDE = Range(-(2**62), 2**62 - 1)


def _terms(call: Call) -> list[Range]:
    products = [scaled(call.a.range, call.multiplier_a), scaled(call.b.range, call.multiplier_b)]
    return [*products, Range(call.offset, call.offset)]


def _fits(call: Call) -> bool:
    half = 1 << (call.shift - 1)
    return partial([*_terms(call), Range(half, half)]) in WIDE


def _range(call: Call) -> Range:
    ends = total(_terms(call))
    low, high = (halves_up(end, call.shift) + call.zero for end in (ends.lo, ends.hi))
    return Range(low, high).clamp(call.lo, call.hi)


def _value(
    a: Integers, b: Integers, *, multiplier_a: int, multiplier_b: int, shift: int, zero: int, lo: int, hi: int,
    offset: int,
) -> Integers:  # fmt: skip
    moved: Integers = halves_up(a * multiplier_a + b * multiplier_b + offset, shift) + zero
    return moved.clip(lo, hi)


def _edges(call: Call) -> list[int]:
    """Of either operand while the other is 0."""
    found = [0, call.a.range.lo, call.a.range.hi, call.b.range.lo, call.b.range.hi]
    for operand, multiplier in ((call.a, call.multiplier_a), (call.b, call.multiplier_b)):
        found += ties(multiplier, call.shift, operand.range, call.offset)
        for bound in (call.lo, call.hi):
            found += saturations(multiplier, call.shift, bound - call.zero, call.offset)
    return found


OP = Op(
    code=4,
    inputs=("a", "b"),
    attributes={
        "multiplier_a": Legal(-(2**24), 2**24),
        "multiplier_b": Legal(-(2**24), 2**24),
        "shift": SHIFT,
        "zero": ANY_INT32,
        "lo": ANY_INT32,
        "hi": ANY_INT32,
        "offset": Legal(WIDE.lo, WIDE.hi),
    },
    constraints=(
        Constraint("C2", "a and b have as many axes, along each of one size, or of size 1 in one of them.", alike),
        Constraint("C3", "lo is not above hi.", lambda call: call.lo <= call.hi),
        Constraint("C1", "Every partial sum of the terms and 2^(shift-1) fits signed 63 bits, in any order.", _fits),
    ),
    shape=spread,
    range=_range,
    value=_value,
    edges=_edges,
)
