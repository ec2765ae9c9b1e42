"""The last axis less its mean, over its standard deviation: what layer norms and their kin have in common.

    d_i = n c_i - m        v = n (sum over j of c_j^2) - m^2        c = x - zero,  m = centred * (sum over j of c_j)
    r   = max(1, floor(sqrt(v * 4^fraction + epsilon)))
    y_i = clamp(floor(d_i * 2^(fraction + unit) / r + 1/2), lo, hi)

for each row of n elements. With centred 0 nothing is subtracted: the root of the mean of squares. The variance,
v / n^2, is exact, and an integer of y stands for 2^-unit. All of it is computed in 64 bits, which C1 makes wide enough.
"""

from __future__ import annotations

import math

import numpy as np

from ....compiler.arrays import Integers
from ..op import Call, Constraint, Legal, Op
from ..rounding import ANY_INT32
from ..types import Range

WIDE = 2**62 - 1
_ROOT = np.frompyfunc(math.isqrt, 1, 1)


def widest(n: int, span: Range) -> tuple[int, int]:
    """The largest d and v of rows of n numbers of a range, centred or not."""
    return 2 * n * span.magnitude, (n * span.magnitude) ** 2


def _fits(call: Call) -> bool:
    span = Range(call.x.range.lo - call.zero, call.x.range.hi - call.zero)
    d, v = widest(call.x.shape[-1], span)
    v = (v << (2 * call.fraction)) + call.epsilon
    return bool(max(v, (d << (call.fraction + call.unit + 1)) + math.isqrt(v)) <= WIDE)


def _value(
    x: Integers, *, centred: int, zero: int, fraction: int, epsilon: int, unit: int, lo: int, hi: int
) -> Integers:
    c, n = x - zero, x.shape[-1]
    mean = centred * c.sum(axis=-1, keepdims=True)
    spread = n * (c * c).sum(axis=-1, keepdims=True) - mean * mean
    root = np.maximum(1, _ROOT(spread * 4**fraction + epsilon))
    found: Integers = (((n * c - mean) << (fraction + unit + 1)) + root) // (2 * root)
    return found.clip(lo, hi)


OP = Op(
    code=24,
    inputs=("x",),
    attributes={
        "centred": Legal(0, 1),
        "zero": ANY_INT32,
        "fraction": Legal(0, 31),
        "epsilon": Legal(0, WIDE),
        "unit": Legal(0, 30),
        "lo": ANY_INT32,
        "hi": ANY_INT32,
    },
    constraints=(
        Constraint("C2", "x has at least one axis.", lambda call: len(call.x.shape) > 0),
        Constraint("C3", "lo is not above hi.", lambda call: call.lo <= call.hi),
        Constraint(
            "C1",
            "v 4^fraction + epsilon, and 2 d 2^(fraction + unit) + r, fit signed 63 bits.",
            _fits,
        ),
    ),
    shape=lambda call: call.x.shape,
    range=lambda call: Range(call.lo, call.hi),
    value=_value,
    edges=lambda call: [0, call.zero, call.zero + 1, call.x.range.lo, call.x.range.hi],
)
