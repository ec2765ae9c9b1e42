"""Largest element of each window of the last two axes; padding never wins.

    y[n, c, i, j] = max over k, l of x[n, c, p, q]

with p = i * stride[0] + k * dilation[0] - padding[0], q alike from stride[1], dilation[1] and padding[2], over those
p and q that lie inside x. padding is (top, bottom, left, right).
"""

from __future__ import annotations

from functools import reduce

import numpy as np

from ....compiler.arrays import Integers
from ..op import Call, Constraint, Legal, Op
from ..types import INT32
from ..window import Window


def _value(
    x: Integers, *, kernel: tuple[int, int], stride: tuple[int, int], padding: tuple[int, int, int, int],
    dilation: tuple[int, int],
) -> Integers:  # fmt: skip
    window = Window(kernel, stride, padding, dilation)
    # Every value of a program fits 32 bits and C3 keeps a real element in every window, so this fill changes nothing.
    padded = window.pad(x, INT32.lo)
    return reduce(np.maximum, (padded[:, :, *tap] for tap in window.taps(*x.shape[2:])))


def _shape(call: Call) -> tuple[int, ...]:
    channels, height, width = call.x.shape
    return (channels, *Window.over(call).output(height, width))


OP = Op(
    code=6,
    inputs=("x",),
    attributes={
        "kernel": Legal(1, 65535, length=2),
        "stride": Legal(1, 65535, length=2),
        "padding": Legal(0, 65535, length=4),
        "dilation": Legal(1, 65535, length=2),
    },
    constraints=(
        Constraint("C1", "x is (channels, height, width).", lambda call: len(call.x.shape) == 3),
        Constraint(
            "C2",
            "The padded input holds at least one window of the dilated kernel.",
            lambda call: Window.over(call).fits(*call.x.shape[1:]),
        ),
        Constraint(
            "C3",
            "Every window holds at least one element that is not padding.",
            lambda call: Window.over(call).always_sees(*call.x.shape[1:]),
        ),
    ),
    shape=_shape,
    range=lambda call: call.x.range,
    value=_value,
    edges=lambda call: [0, call.x.range.lo, call.x.range.hi],
)
