"""Product of two tensors, element by element, into a 32-bit accumulator, without any rounding.

    y = (a - zero_a) * (b - zero_b)

Where one of them has size 1 along an axis it is spread along it: the factor of a channel multiplies its plane. The
product of two 16-bit values fits where both are signed; of two of 8 bits always.
"""

from __future__ import annotations

from ....compiler.arrays import Integers
from ..broadcast import alike, centred, product, spread
from ..op import Call, Constraint, Op
from ..rounding import ANY_INT32
from ..types import INT32, Range


def _range(call: Call) -> Range:
    return product(*centred(call))


def _value(a: Integers, b: Integers, *, zero_a: int, zero_b: int) -> Integers:
    product: Integers = (a - zero_a) * (b - zero_b)
    return product


OP = Op(
    code=21,
    inputs=("a", "b"),
    attributes={"zero_a": ANY_INT32, "zero_b": ANY_INT32},
    constraints=(
        Constraint("C2", "a and b have as many axes, along each of one size, or of size 1 in one of them.", alike),
        Constraint(
            "C3",
            "a - zero_a and b - zero_b fit signed 32-bit integers.",
            lambda call: all(factor in INT32 for factor in centred(call)),
        ),
        Constraint("C1", "Every product fits a signed 32-bit accumulator.", lambda call: _range(call) in INT32),
    ),
    shape=spread,
    range=_range,
    value=_value,
    edges=lambda call: [0, *(end for x in (call.a.range, call.b.range) for end in (x.lo, x.hi)), call.zero_a],
)
