"""Product of two matrices that are no constants, into a 32-bit accumulator, without any rounding.

    y[..., i, j] = sum over k of (a[..., i, k] - zero_a) * (b[..., j, k] - zero_b)

The rows of b are what a row of a is multiplied by, as those of the weights in `linear`. All other axes are the same.
"""

from __future__ import annotations

from ....compiler.arrays import Integers
from ..broadcast import centred, product
from ..op import Call, Constraint, Op
from ..rounding import ANY_INT32
from ..sums import scaled
from ..types import INT32, Range


def _matrices(call: Call) -> bool:
    a, b = call.a.shape, call.b.shape
    return len(a) == len(b) >= 2 and a[:-2] == b[:-2] and a[-1] == b[-1]


def _term(call: Call) -> Range:
    return product(*centred(call))


def _value(a: Integers, b: Integers, *, zero_a: int, zero_b: int) -> Integers:
    found: Integers = (a - zero_a) @ (b - zero_b).swapaxes(-1, -2)
    return found


OP = Op(
    code=22,
    inputs=("a", "b"),
    attributes={"zero_a": ANY_INT32, "zero_b": ANY_INT32},
    constraints=(
        Constraint(
            "C2",
            "a and b have as many axes, at least two, and the same sizes along all but the last but one.",
            _matrices,
        ),
        Constraint(
            "C3",
            "a - zero_a and b - zero_b fit signed 32-bit integers.",
            lambda call: all(factor in INT32 for factor in centred(call)),
        ),
        Constraint(
            "C1",
            "Every partial sum fits a signed 32-bit accumulator, in any order.",
            lambda call: scaled(_term(call) | Range(0, 0), call.a.shape[-1]) in INT32,
        ),
    ),
    shape=lambda call: (*call.a.shape[:-1], call.b.shape[-2]),
    range=lambda call: scaled(_term(call), call.a.shape[-1]),
    value=_value,
    edges=lambda call: [0, *(end for x in (call.a.range, call.b.range) for end in (x.lo, x.hi)), call.zero_a],
)
