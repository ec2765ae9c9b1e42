"""The elements at some places along an axis (counted without the batch): y[..., i, ...] = x[..., places[i], ...].

A place may be taken several times, or never: this repeats, reflects, upsamples to the nearest and turns around.
"""

from __future__ import annotations

from ..op import Call, Constraint, Legal, Op
from ..types import Range


def _vector(call: Call) -> bool:
    return len(call.places.shape) == 1 and call.places.shape[0] > 0 and call.axis < len(call.x.shape)


def _inside(call: Call) -> bool:
    return call.places.range in Range(0, call.x.shape[call.axis] - 1)


def _shape(call: Call) -> tuple[int, ...]:
    return (*call.x.shape[: call.axis], call.places.shape[0], *call.x.shape[call.axis + 1 :])


OP = Op(
    code=31,
    inputs=("x", "places"),
    constants=("places",),
    attributes={"axis": Legal(0, 7)},
    constraints=(
        Constraint("C1", "places is a vector, not empty, and the axis one of x.", _vector),
        Constraint("C2", "Every place lies inside of x.", _inside),
    ),
    shape=_shape,
    range=lambda call: call.x.range,
    value=lambda x, places, *, axis: x.take(places.astype(int), axis + 1),
    edges=lambda call: [0, call.x.range.lo, call.x.range.hi],
)
