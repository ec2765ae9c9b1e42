"""Convolutions over any number of axes: the record of an op for each number."""

from __future__ import annotations

import numpy as np

from ...compiler.arrays import Integers
from .op import Call, Constraint, Legal, Op
from .rounding import ANY_INT32
from .sums import dot, partial_dot
from .types import INT32, Range
from .window import Window

_NAMES = {2: "height, width", 3: "frames, height, width"}


def convolution(code: int, axes: int) -> Op:
    """The op of convolutions over the last `axes` axes."""
    return Op(
        code=code,
        inputs=("x", "weight", "bias"),
        constants=("weight", "bias"),
        attributes={
            "stride": Legal(1, 65535, length=axes),
            "padding": Legal(0, 65535, length=2 * axes),
            "dilation": Legal(1, 65535, length=axes),
            "groups": Legal(1, 65535),
            "pad_value": ANY_INT32,
        },
        constraints=_constraints(axes),
        shape=_shape,
        range=lambda call: dot(call.weight.data, call.bias.data, _seen(call)),
        value=_value,
        edges=lambda call: [0, call.x.range.lo, call.x.range.hi, call.pad_value],
    )


def _constraints(axes: int) -> tuple[Constraint, ...]:
    sizes = _NAMES[axes]
    return (
        Constraint(
            "C2",
            f"x is (channels, {sizes}), weight (outputs, depth, {sizes}), bias (outputs,).",
            lambda call: _ranks(call, axes),
        ),
        Constraint(
            "C3",
            "Weight and bias have as many outputs, x has groups * depth channels, and groups divides outputs.",
            _channels,
        ),
        Constraint(
            "C4",
            "The padded input holds at least one window of the dilated kernel.",
            lambda call: _window(call).fits(*call.x.shape[1:]),
        ),
        Constraint(
            "C5",
            "Every weight and every bias fits a signed 32-bit integer.",
            lambda call: call.weight.range in INT32 and call.bias.range in INT32,
        ),
        Constraint(
            "C1",
            "Every partial sum fits a signed 32-bit accumulator, in any order.",
            lambda call: partial_dot(call.weight.data, call.bias.data, _seen(call)) in INT32,
        ),
    )


def _window(call: Call) -> Window:
    return Window.over(call, call.weight.shape[2:])


def _seen(call: Call) -> Range:
    """The range of what the weights multiply: x, and the padding where there is any."""
    pad = Range(call.pad_value, call.pad_value)
    seen: Range = call.x.range | pad if any(call.padding) else call.x.range
    return seen


def _ranks(call: Call, axes: int) -> bool:
    ranks = [len(operand.shape) for operand in (call.x, call.weight, call.bias)]
    return ranks == [1 + axes, 2 + axes, 1] and call.weight.data.size > 0


def _channels(call: Call) -> bool:
    outputs, depth = call.weight.shape[:2]
    fits = call.bias.shape == (outputs,) and call.x.shape[0] == depth * call.groups
    return bool(fits and outputs % call.groups == 0)


def _shape(call: Call) -> tuple[int, ...]:
    return (call.weight.shape[0], *_window(call).output(*call.x.shape[1:]))


def _value(
    x: Integers, weight: Integers, bias: Integers, *, stride: tuple[int, ...], padding: tuple[int, ...],
    dilation: tuple[int, ...], groups: int, pad_value: int,
) -> Integers:  # fmt: skip
    outputs, depth, *kernel = weight.shape
    window = Window(tuple(kernel), stride, padding, dilation)
    taps = list(window.taps(*x.shape[2:]))
    x, flat = window.pad(x, pad_value), weight.reshape(outputs, depth, -1)
    channels = []
    for o in range(outputs):
        first = o // (outputs // groups) * depth
        terms = (x[:, first + c, *taps[t]] * flat[o, c, t] for c, t in np.ndindex(depth, len(taps)))
        channels.append(sum(terms, start=bias[o]))
    return np.stack(channels, axis=1)
