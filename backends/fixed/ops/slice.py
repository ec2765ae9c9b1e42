"""Every `step`-th element along each axis, from `start` and before `stop` (axes without the batch).

y[i, j, ...] = x[start[0] + step[0] i, start[1] + step[1] j, ...]     for all places below stop
"""

from __future__ import annotations

from ....compiler.arrays import Integers
from ..op import Call, Constraint, Legal, Op

_PLACE = Legal(0, 2**31 - 1, length=0)


def taken(start: tuple[int, ...], stop: tuple[int, ...], step: tuple[int, ...]) -> tuple[slice, ...]:
    """The elements of an array with its leading batch axis, as an index of it."""
    return (slice(None), *map(slice, start, stop, step))


def _one_each(call: Call) -> bool:
    return len(call.start) == len(call.stop) == len(call.step) == len(call.x.shape)


def _inside(call: Call) -> bool:
    return all(a < b <= size for a, b, size in zip(call.start, call.stop, call.x.shape, strict=True))


def _shape(call: Call) -> tuple[int, ...]:
    return tuple(len(range(*place)) for place in zip(call.start, call.stop, call.step, strict=True))


def _value(x: Integers, *, start: tuple[int, ...], stop: tuple[int, ...], step: tuple[int, ...]) -> Integers:
    return x[taken(start, stop, step)]


OP = Op(
    code=11,
    inputs=("x",),
    attributes={"start": _PLACE, "stop": _PLACE, "step": Legal(1, 2**31 - 1, length=0)},
    constraints=(
        Constraint("C1", "start, stop and step have one number for each axis of x.", _one_each),
        Constraint("C2", "start lies before stop, and stop not behind the end of x.", _inside),
    ),
    shape=_shape,
    range=lambda call: call.x.range,
    value=_value,
    edges=lambda call: [0, call.x.range.lo, call.x.range.hi],
)
