"""Sum over some axes, into a 32-bit accumulator; a mean is this and a rescale.

    y[n, kept] = sum over the indices of `axes` of x[n, kept and summed]

Axes are counted without the batch axis, ascending. keepdim 1 leaves them with size 1, keepdim 0 drops them.
"""

from __future__ import annotations

import math

from ....compiler.arrays import Integers
from ..op import Call, Constraint, Legal, Op
from ..sums import scaled
from ..types import INT32, Range


def _count(call: Call) -> int:
    return math.prod(call.x.shape[axis] for axis in call.axes)


def _axes_exist(call: Call) -> bool:
    axes = call.axes
    return bool(axes) and list(axes) == sorted(set(axes)) and axes[-1] < len(call.x.shape)


def _shape(call: Call) -> tuple[int, ...]:
    if call.keepdim:
        return tuple(1 if axis in call.axes else size for axis, size in enumerate(call.x.shape))
    return tuple(size for axis, size in enumerate(call.x.shape) if axis not in call.axes)


def _value(x: Integers, *, axes: tuple[int, ...], keepdim: int) -> Integers:
    total: Integers = x.sum(axis=tuple(axis + 1 for axis in axes), keepdims=bool(keepdim))
    return total


OP = Op(
    code=8,
    inputs=("x",),
    attributes={"axes": Legal(0, 7, length=0), "keepdim": Legal(0, 1)},
    constraints=(
        Constraint("C2", "The axes are some of x, at least one, ascending and each once.", _axes_exist),
        Constraint(
            "C1",
            "Every partial sum fits a signed 32-bit accumulator, in any order.",
            lambda call: scaled(call.x.range | Range(0, 0), _count(call)) in INT32,
        ),
    ),
    shape=_shape,
    range=lambda call: scaled(call.x.range, _count(call)),
    value=_value,
    edges=lambda call: [0, call.x.range.lo, call.x.range.hi],
)
