"""Two tensors, one behind the other along an axis (counted without the batch).

y[..., i, ...] = a[..., i, ...] for i below the size of a along the axis, and b[..., i - that size, ...] above
"""

from __future__ import annotations

import numpy as np

from ..op import Call, Constraint, Legal, Op


def _others_agree(call: Call) -> bool:
    """Whether the axis is one of both, along whose others the two have the same sizes."""
    a, b = list(call.a.shape), list(call.b.shape)
    if not call.axis < len(a) == len(b):
        return False
    del a[call.axis], b[call.axis]
    return a == b


def _shape(call: Call) -> tuple[int, ...]:
    sizes = list(call.a.shape)
    sizes[call.axis] += call.b.shape[call.axis]
    return tuple(sizes)


OP = Op(
    code=30,
    inputs=("a", "b"),
    attributes={"axis": Legal(0, 7)},
    constraints=(
        Constraint("C1", "a and b have as many axes, and the same sizes along all but `axis`.", _others_agree),
    ),
    shape=_shape,
    range=lambda call: call.a.range | call.b.range,
    value=lambda a, b, *, axis: np.concatenate([a, b], axis + 1),
    edges=lambda call: [0, call.a.range.lo, call.a.range.hi],
)
