"""The axes in another order (axes without the batch): y[i_axes[0], i_axes[1], ...] = x[i_0, i_1, ...]."""

from __future__ import annotations

from ..op import Constraint, Legal, Op


def permuted(axes: tuple[int, ...]) -> tuple[int, ...]:
    """The order of the axes of an array with its leading batch axis."""
    return (0, *(axis + 1 for axis in axes))


OP = Op(
    code=12,
    inputs=("x",),
    attributes={"axes": Legal(0, 2**31 - 1, length=0)},
    constraints=(
        Constraint(
            "C1", "axes names each axis of x once.", lambda call: sorted(call.axes) == [*range(len(call.x.shape))]
        ),
    ),
    shape=lambda call: tuple(call.x.shape[axis] for axis in call.axes),
    range=lambda call: call.x.range,
    value=lambda x, *, axes: x.transpose(permuted(axes)),
    edges=lambda call: [0, call.x.range.lo, call.x.range.hi],
)
