"""Sum of each window of the last two axes; an average pool is this and a rescale.

    y[n, c, i, j] = sum over k, l of x[n, c, p, q]

with p = i * stride[0] + k - padding[0] and q = j * stride[1] + l - padding[2]. Where p or q lies outside x, `pad_value`
stands for x. padding is (top, bottom, left, right). It expands to a convolution of each channel with ones.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from ....compiler.arrays import Integers
from ..op import Call, Constraint, Legal, Op
from ..rounding import ANY_INT32
from ..sums import scaled
from ..types import INT32, Range
from ..window import Window

if TYPE_CHECKING:
    from ..program import Builder


def _seen(call: Call) -> Range:
    pad = Range(call.pad_value, call.pad_value)
    seen: Range = call.x.range | pad if any(call.padding) else call.x.range
    return seen


def _value(
    x: Integers, *, kernel: tuple[int, int], stride: tuple[int, int], padding: tuple[int, int, int, int],
    pad_value: int,
) -> Integers:  # fmt: skip
    window = Window(kernel, stride, padding)
    padded = window.pad(x, pad_value)
    first, *rest = (padded[:, :, *tap] for tap in window.taps(*x.shape[2:]))
    return sum(rest, start=first)


def _shape(call: Call) -> tuple[int, ...]:
    channels, height, width = call.x.shape
    return (channels, *Window.over(call).output(height, width))


def _expand(
    builder: Builder, x: int, *, origin: str, kernel: tuple[int, int], stride: tuple[int, int],
    padding: tuple[int, int, int, int], pad_value: int,
) -> int:  # fmt: skip
    channels = builder[x].shape[0]
    ones = builder.constant(np.ones((channels, 1, *kernel), np.int64))
    nothing = builder.constant(np.zeros(channels, np.int64))
    return builder.step(
        "conv2d", x, ones, nothing, origin=origin,
        stride=stride, padding=padding, dilation=(1, 1), groups=channels, pad_value=pad_value,
    )  # fmt: skip


OP = Op(
    code=7,
    inputs=("x",),
    attributes={
        "kernel": Legal(1, 65535, length=2),
        "stride": Legal(1, 65535, length=2),
        "padding": Legal(0, 65535, length=4),
        "pad_value": ANY_INT32,
    },
    constraints=(
        Constraint(
            "C2",
            "x is (channels, height, width) with at most 65535 channels.",
            lambda call: len(call.x.shape) == 3 and call.x.shape[0] <= 65535,
        ),
        Constraint(
            "C3",
            "The padded input holds at least one window.",
            lambda call: Window.over(call).fits(*call.x.shape[1:]),
        ),
        Constraint(
            "C1",
            "Every partial sum fits a signed 32-bit accumulator, in any order.",
            lambda call: scaled(_seen(call) | Range(0, 0), math.prod(call.kernel)) in INT32,
        ),
    ),
    shape=_shape,
    range=lambda call: scaled(_seen(call), math.prod(call.kernel)),
    value=_value,
    edges=lambda call: [0, call.x.range.lo, call.x.range.hi, call.pad_value],
    expand=_expand,
)
