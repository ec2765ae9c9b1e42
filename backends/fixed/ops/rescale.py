"""Requantization, the rounding of the program: multiply by M * 2^-s, round halves up, move to a zero point, saturate.

    q = clamp(((x * M + 2^(s-1)) >> s) + zero, lo, hi)        >> floors

M and s are one pair for the whole tensor, or one pair for each index of `axis` (counted without the batch axis; ignored
for one pair). The product is taken in 64 bits, which C1, C3 and C4 make wide enough.
"""

from __future__ import annotations

from ....compiler.arrays import Integers
from ..op import Call, Constraint, Op
from ..rounding import REQUANTIZING, halves_up, requantizing, saturations, ties
from ..types import Range


def _pairs(call: Call) -> set[tuple[int, int]]:
    return set(zip(call.multiplier.data.tolist(), call.shift.data.tolist(), strict=True))


def _one_pair_or_one_a_channel(call: Call) -> bool:
    length = call.multiplier.shape
    if len(length) != 1 or length != call.shift.shape:
        return False
    return bool(length == (1,) or length == call.x.shape[call.axis : call.axis + 1])


def _range(call: Call) -> Range:
    ends = [halves_up(x * m, s) + call.zero for m, s in _pairs(call) for x in (call.x.range.lo, call.x.range.hi)]
    return Range(min(ends), max(ends)).clamp(call.lo, call.hi)


def _value(x: Integers, multiplier: Integers, shift: Integers, *, zero: int, lo: int, hi: int, axis: int) -> Integers:
    if len(multiplier) > 1:
        channels = [1] * x.ndim
        channels[axis + 1] = -1
        multiplier, shift = multiplier.reshape(channels), shift.reshape(channels)
    moved: Integers = halves_up(x * multiplier, shift) + zero
    return moved.clip(lo, hi)


def _edges(call: Call) -> list[int]:
    found = [0, call.x.range.lo, call.x.range.hi]
    for m, s in sorted(_pairs(call))[:4]:
        found += ties(m, s, call.x.range)
        found += saturations(m, s, call.lo - call.zero) + saturations(m, s, call.hi - call.zero)
    return found


OP = Op(
    code=3,
    inputs=("x", "multiplier", "shift"),
    constants=("multiplier", "shift"),
    attributes=REQUANTIZING,
    constraints=requantizing(
        Constraint(
            "C2",
            "Multiplier and shift are vectors of one length: 1, or the size of x along the axis.",
            _one_pair_or_one_a_channel,
        )
    ),
    shape=lambda call: call.x.shape,
    range=_range,
    value=_value,
    edges=_edges,
)
