"""A border of one value around the last two axes.

    y[..., i, j] = x[..., i - padding[0], j - padding[2]] where that lies inside x, and `pad_value` elsewhere

padding is (top, bottom, left, right).
"""

from __future__ import annotations

from ....compiler.arrays import Integers
from ..op import Call, Constraint, Legal, Op
from ..rounding import ANY_INT32
from ..types import Range
from ..window import Window


def _window(padding: tuple[int, int, int, int]) -> Window:
    return Window(kernel=(1, 1), stride=(1, 1), padding=padding)


def _shape(call: Call) -> tuple[int, ...]:
    *outer, height, width = call.x.shape
    return (*outer, *_window(call.padding).padded(height, width))


def _range(call: Call) -> Range:
    border = Range(call.pad_value, call.pad_value)
    held: Range = call.x.range | border if any(call.padding) else call.x.range
    return held


def _value(x: Integers, *, padding: tuple[int, int, int, int], pad_value: int) -> Integers:
    return _window(padding).pad(x, pad_value)


OP = Op(
    code=10,
    inputs=("x",),
    attributes={"padding": Legal(0, 65535, length=4), "pad_value": ANY_INT32},
    constraints=(Constraint("C1", "x has at least two axes.", lambda call: len(call.x.shape) >= 2),),
    shape=_shape,
    range=_range,
    value=_value,
    edges=lambda call: [0, call.x.range.lo, call.x.range.hi, call.pad_value],
)
