"""The one rounding, floor(t / 2^s + 1/2), and the operands at which it and the clamp after it change branch."""

from __future__ import annotations

from typing import Any

from .op import Constraint, Legal
from .types import INT32, Range

SHIFT = Legal(1, 62)
ANY_INT32 = Legal(INT32.lo, INT32.hi)
MULTIPLIER = Range(2**23, 2**24 - 1)


REQUANTIZING = {"zero": ANY_INT32, "lo": ANY_INT32, "hi": ANY_INT32, "axis": Legal(0, 7)}
"""Attributes of an op that moves sums to another grid."""


def requantizing(vectors: Constraint, *more: Constraint) -> tuple[Constraint, ...]:
    """The constraints of such an op, with the one on the lengths of its vectors, and its own."""
    return (
        vectors,
        Constraint(
            "C3",
            "Every multiplier lies in [2^23, 2^24).",
            lambda call: call.multiplier.range in MULTIPLIER,
        ),
        Constraint(
            "C4",
            "Every shift lies in [1, 62].",
            lambda call: call.shift.range in Range(SHIFT.lo, SHIFT.hi),
        ),
        *more,
        Constraint("C5", "lo is not above hi.", lambda call: call.lo <= call.hi),
        Constraint("C1", "x fits a signed 32-bit integer.", lambda call: call.x.range in INT32),
    )


def halves_up(total: Any, shift: Any) -> Any:
    """(total + 2^(shift-1)) >> shift, where >> floors: the nearest integer, halves rounded up."""
    return (total + (1 << (shift - 1))) >> shift


def ties(multiplier: int, shift: int, x: Range, offset: int = 0) -> list[int]:
    """Up to four x of the range, those nearest zero, with `x * multiplier + offset` exactly between two multiples."""
    if multiplier == 0:
        return []
    twos = min((multiplier & -multiplier).bit_length() - 1, shift)
    rest = ((1 << (shift - 1)) - offset) % (1 << shift)
    if rest % (1 << twos):
        return []
    period = 1 << (shift - twos)
    first = (rest >> twos) * pow(multiplier >> twos, -1, period) % period if period > 1 else 0
    return [tie for tie in (first - 2 * period, first - period, first, first + period) if tie in x]


def saturations(multiplier: int, shift: int, bound: int, offset: int = 0) -> list[int]:
    """The x on both sides of where `halves_up(x * multiplier + offset)` reaches `bound` and `bound + 1`."""
    if multiplier == 0:
        return []
    starts = ((((b << shift) - (1 << (shift - 1))) - offset) // multiplier for b in (bound, bound + 1))
    return [start + step for start in starts for step in (-1, 0, 1, 2)]
