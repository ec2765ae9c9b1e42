"""Requantization of a sum whose bias is finer than its unit: as `rescale`, with 65536ths of a unit added before.

    q = clamp(((x * M + ((f * M) >> 16) + 2^(s-1)) >> s) + zero, lo, hi)        >> floors

M, s and f are each one number for the whole tensor, or one for each index of `axis` (counted without the batch axis;
ignored for single numbers). A layer's bias is rounded to the unit of its accumulator; f is what that leaves out. The
products are taken in 64 bits, which C1, C3, C4 and C6 make wide enough.
"""

from __future__ import annotations

import numpy as np

from ....compiler.arrays import Integers
from ..op import Call, Constraint, Op
from ..rounding import REQUANTIZING, halves_up, requantizing, saturations, ties
from ..types import Range

FRACTION_BITS = 16
FRACTION = Range(-(2 ** (FRACTION_BITS - 1)), 2 ** (FRACTION_BITS - 1) - 1)
_VECTORS = ("multiplier", "shift", "fraction")


def added(call: Call) -> Integers:
    """(f * M) >> 16 for the whole tensor, (1,), or for each channel."""
    product: Integers = call.fraction.data * call.multiplier.data
    return product >> FRACTION_BITS


def _triples(call: Call) -> set[tuple[int, int, int]]:
    """(M, s, what is added), each once."""
    vectors = np.broadcast_arrays(call.multiplier.data, call.shift.data, added(call))
    return set(zip(*(vector.tolist() for vector in vectors), strict=True))


def _one_or_one_a_channel(call: Call) -> bool:
    lengths = [getattr(call, name).shape for name in _VECTORS]
    return all(length in ((1,), call.x.shape[call.axis : call.axis + 1]) for length in lengths)


def _range(call: Call) -> Range:
    m, s, more = call.multiplier.data, call.shift.data, added(call)
    ends = [Range.of(halves_up(x * m + more, s)) for x in (call.x.range.lo, call.x.range.hi)]  # in 64 bits
    hull = ends[0] | ends[1]
    return Range(hull.lo + call.zero, hull.hi + call.zero).clamp(call.lo, call.hi)


def _value(
    x: Integers, multiplier: Integers, shift: Integers, fraction: Integers, *, zero: int, lo: int, hi: int, axis: int
) -> Integers:
    channels = [1] * x.ndim
    if x.ndim > 1:
        channels[axis + 1] = -1
    m, s, f = (vector.reshape(channels if len(vector) > 1 else -1) for vector in (multiplier, shift, fraction))
    moved: Integers = halves_up(x * m + ((f * m) >> FRACTION_BITS), s) + zero
    return moved.clip(lo, hi)


def _edges(call: Call) -> list[int]:
    found = [0, call.x.range.lo, call.x.range.hi]
    for m, s, more in sorted(_triples(call))[:4]:
        found += ties(m, s, call.x.range, more) + saturations(m, s, 0, more)
        found += saturations(m, s, call.lo - call.zero, more) + saturations(m, s, call.hi - call.zero, more)
    return found


OP = Op(
    code=13,
    inputs=("x", *_VECTORS),
    constants=_VECTORS,
    attributes=REQUANTIZING,
    constraints=requantizing(
        Constraint(
            "C2",
            "Multiplier, shift and fraction are vectors, each of length 1 or the size of x along the axis.",
            _one_or_one_a_channel,
        ),
        Constraint("C6", "Every fraction lies in [-2^15, 2^15).", lambda call: call.fraction.range in FRACTION),
    ),
    shape=lambda call: call.x.shape,
    range=_range,
    value=_value,
    edges=_edges,
)
