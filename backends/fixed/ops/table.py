"""Look-up: any function of one integer, as a list of its values, which ship in the file.

    y = table[r, min(max(x - first, 0), n - 1)]        the function of first, first + 1, ..., first + n - 1

table is (rows, n): one row for the whole tensor, or one for each index of `axis` (counted without the batch axis;
ignored for one row), which is r then. 8 bits take 256 values, 16 bits 65536. What lies outside takes the nearest.
"""

from __future__ import annotations

import numpy as np

from ....compiler.arrays import Integers
from ..op import Call, Constraint, Legal, Op
from ..rounding import ANY_INT32
from ..types import INT32, Range

MOST = 2**16


def _rows(call: Call) -> bool:
    sizes = call.table.shape
    if len(sizes) != 2 or not 1 <= sizes[1] <= MOST:
        return False
    return bool(sizes[0] == 1 or sizes[:1] == call.x.shape[call.axis : call.axis + 1])


def _range(call: Call) -> Range:
    seen = call.x.range.clamp(call.first, call.first + call.table.shape[1] - 1)
    return Range.of(call.table.data[:, seen.lo - call.first : seen.hi - call.first + 1])


def rows_of(x: Integers, rows: int, axis: int) -> Integers:
    """For each element of x, with its leading batch axis, the row that it looks into, shaped to broadcast."""
    return np.arange(rows).reshape([-1 if i == axis + 1 and rows > 1 else 1 for i in range(x.ndim)])


def _value(x: Integers, table: Integers, *, first: int, axis: int) -> Integers:
    rows, entries = table.shape
    places = (x - first).clip(0, entries - 1).astype(np.int64)
    return table[rows_of(x, rows, axis), places]


def _edges(call: Call) -> list[int]:
    last = call.first + call.table.shape[1] - 1
    return [0, call.x.range.lo, call.x.range.hi, *(end + step for end in (call.first, last) for step in (-1, 0, 1))]


OP = Op(
    code=20,
    inputs=("x", "table"),
    constants=("table",),
    attributes={"first": ANY_INT32, "axis": Legal(0, 7)},
    constraints=(
        Constraint(
            "C1",
            "The table is (rows, n), with 1 <= n <= 65536, and rows 1 or the size of x along the axis.",
            _rows,
        ),
        Constraint(
            "C2",
            "Every value in the table fits a signed 32-bit integer.",
            lambda call: call.table.range in INT32,
        ),
        Constraint(
            "C3",
            "first + n - 1 fits a signed 32-bit integer.",
            lambda call: call.first + call.table.shape[1] - 1 in INT32,
        ),
    ),
    shape=lambda call: call.x.shape,
    range=_range,
    value=_value,
    edges=_edges,
)
