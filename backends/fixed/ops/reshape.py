"""The same elements in the same order, row by row, in another shape (given without the batch axis): y = x."""

from __future__ import annotations

import math

from ..op import Constraint, Legal, Op

OP = Op(
    code=9,
    inputs=("x",),
    attributes={"shape": Legal(1, 2**31 - 1, length=0)},
    constraints=(
        Constraint(
            "C1",
            "The new shape holds as many elements as x.",
            lambda call: math.prod(call.shape) == math.prod(call.x.shape),
        ),
    ),
    shape=lambda call: call.shape,
    range=lambda call: call.x.range,
    value=lambda x, *, shape: x.reshape((len(x), *shape)),
    edges=lambda call: [0, call.x.range.lo, call.x.range.hi],
)
