"""What the suites know of each integer op: how legal steps are drawn, and steps that break each constraint alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import op_draws as draws
from lowbit.backends.fixed.op import Call, Operand
from lowbit.backends.fixed.types import Range
from op_draws import Draw, Parts


@dataclass(frozen=True)
class Evidence:
    """draw: constants and attributes of a legal step on that operand.   ranks: how many axes it may have.

    widest: the largest magnitude that its integers may have.   spreads: shape of x -> those of other operands.
    base: one legal step.   breaks: constraint -> the same step with only that constraint broken, once for each way.
    """

    draw: Callable[[Draw, Operand], Parts]
    base: Call
    breaks: Mapping[str, tuple[Call, ...]]
    ranks: range = range(5)
    widest: int = 2**31
    spreads: Callable[[Draw, tuple[int, ...]], tuple[int, ...]] = lambda draw, shape: shape

    def takes(self, shape: tuple[int, ...], range: Range) -> bool:
        return len(shape) in self.ranks and range.magnitude <= self.widest


def tensor(*shape: int, lo: int = 0, hi: int = 255) -> Operand:
    return Operand(shape, Range(lo, hi))


def constant(values: Any) -> Operand:
    data = np.array(values, dtype=np.int64)
    return Operand(data.shape, Range.of(data), data)


def call(**parts: Any) -> Call:
    operands = {name: part for name, part in parts.items() if isinstance(part, Operand)}
    return Call(operands, {name: part for name, part in parts.items() if name not in operands})


def changed(base: Call, **parts: Any) -> Call:
    return call(**{**base.operands, **base.attributes, **parts})


def ones(*shape: int) -> Operand:
    return constant(np.ones(shape))


IMAGE, WINDOW = tensor(2, 4, 4), {"stride": (1, 1), "padding": (0, 0, 0, 0), "dilation": (1, 1)}
CONV2D = call(x=IMAGE, weight=ones(4, 1, 2, 2), bias=ones(4), **WINDOW, groups=2, pad_value=0)
LINEAR = call(x=tensor(3), weight=ones(2, 3), bias=ones(2))
RESCALE = call(
    x=IMAGE, multiplier=constant([2**23, 2**23]), shift=constant([24, 25]), axis=0, zero=0, lo=0, hi=255
)  # fmt: skip
REQUANTIZE = call(
    x=IMAGE, multiplier=constant([2**23]), shift=constant([24]), fraction=constant([-(2**15), 2**15 - 1]), axis=0,
    zero=0, lo=0, hi=255,
)  # fmt: skip
FRAMES = {"stride": (1,) * 3, "padding": (0,) * 6, "dilation": (1,) * 3}
CONV3D = call(x=tensor(2, 4, 4, 4), weight=ones(4, 1, 2, 2, 2), bias=ones(4), **FRAMES, groups=2, pad_value=0)
TAKE = call(x=IMAGE, places=constant([3, 0, 0]), axis=2)
FRAMES = {"stride": (1,) * 3, "padding": (0,) * 6, "dilation": (1,) * 3}
CONV3D = call(x=tensor(2, 4, 4, 4), weight=ones(4, 1, 2, 2, 2), bias=ones(4), **FRAMES, groups=2, pad_value=0)
TAKE = call(x=IMAGE, places=constant([3, 0, 0]), axis=2)
ADD = call(
    a=IMAGE, b=IMAGE, multiplier_a=2**23, multiplier_b=2**20, shift=24, zero=0, lo=0, hi=255, offset=0
)  # fmt: skip
CLAMP = call(x=IMAGE, lo=0, hi=6)
MAX_POOL2D = call(x=IMAGE, kernel=(2, 2), **WINDOW)
SLICE = call(x=IMAGE, start=(0, 1, 0), stop=(2, 4, 4), step=(1, 2, 1))
TABLE = call(x=IMAGE, table=constant(np.arange(20).reshape(2, 10)), first=-5, axis=0)
MULTIPLY = call(a=IMAGE, b=IMAGE, zero_a=0, zero_b=128)
MATMUL = call(a=IMAGE, b=tensor(2, 3, 4), zero_a=0, zero_b=128)
DIVIDE = call(
    a=IMAGE, b=IMAGE, zero_a=0, zero_b=-1, multiplier=2**23, shift=20, zero=0, lo=0, hi=255
)  # fmt: skip
STANDARDIZE = call(x=IMAGE, centred=1, zero=0, fraction=4, epsilon=9, unit=10, lo=-(2**15), hi=2**15)
SUM_POOL2D = call(x=IMAGE, kernel=(2, 2), stride=(2, 2), padding=(0, 0, 0, 0), pad_value=0)
SUM = call(x=IMAGE, axes=(1, 2), keepdim=0)

# The sums below are one past what fits: 2^31 as a sum, or as the value of padding that only the border sees.
EVIDENCE: Mapping[str, Evidence] = {
    "conv2d": Evidence(draws.convolution, CONV2D, ranks=range(3, 4), breaks={
        "C1": (changed(CONV2D, bias=constant([0, 0, 0, 2**31 - 4 * 255])),),
        "C2": (
            changed(CONV2D, x=tensor(2, 4)),
            changed(CONV2D, bias=ones(4, 1)),
            changed(CONV2D, weight=ones(4, 1, 2)),
        ),
        "C3": (
            changed(CONV2D, groups=1),
            changed(CONV2D, bias=ones(3)),
            changed(CONV2D, weight=ones(3, 1, 2, 2), bias=ones(3)),
        ),
        "C4": (changed(CONV2D, dilation=(1, 4)), changed(CONV2D, dilation=(4, 1))),
        "C5": (
            changed(CONV2D, bias=constant([0, 0, 0, 2**31])),
            changed(CONV2D, weight=constant(np.full((4, 1, 2, 2), -(2**31) - 1))),
        ),
    }),
    "conv3d": Evidence(draws.convolution, CONV3D, ranks=range(4, 5), breaks={
        "C1": (changed(CONV3D, bias=constant([0, 0, 0, 2**31 - 8 * 255])),),
        "C2": (changed(CONV3D, x=IMAGE), changed(CONV3D, bias=ones(4, 1)), changed(CONV3D, weight=ones(4, 1, 2, 2))),
        "C3": (changed(CONV3D, groups=1), changed(CONV3D, bias=ones(3))),
        "C4": tuple(changed(CONV3D, dilation=dilation) for dilation in ((1, 1, 4), (1, 4, 1), (4, 1, 1))),
        "C5": (changed(CONV3D, bias=constant([0, 0, 0, 2**31])),),
    }),
    "concat": Evidence(draws.concat, call(a=IMAGE, b=IMAGE, axis=0), ranks=range(1, 5), breaks={
        "C1": (
            call(a=IMAGE, b=IMAGE, axis=3),
            call(a=IMAGE, b=tensor(2, 4), axis=0),
            call(a=IMAGE, b=tensor(2, 4, 3), axis=0),
            call(a=IMAGE, b=tensor(3, 4, 4), axis=1),
        ),
    }),
    "take": Evidence(draws.take, TAKE, ranks=range(1, 5), breaks={
        "C1": (
            changed(TAKE, axis=3),
            changed(TAKE, places=constant([[3, 0]])),
            changed(TAKE, places=constant(np.zeros(0))),
        ),
        "C2": (changed(TAKE, places=constant([4])), changed(TAKE, places=constant([0, -1])), changed(TAKE, axis=0)),
    }),
    "linear": Evidence(draws.linear, LINEAR, ranks=range(1, 5), breaks={
        "C1": (changed(LINEAR, bias=constant([0, 2**31 - 3 * 255])),),
        "C2": (
            changed(LINEAR, bias=ones(3)),
            changed(LINEAR, x=tensor(4)),
            changed(LINEAR, x=tensor()),
            changed(LINEAR, weight=ones(2, 3, 1)),
            changed(LINEAR, weight=ones(0, 3), bias=ones(0)),
        ),
        "C3": (
            changed(LINEAR, weight=constant([[1, 1, 1], [1, 1, -(2**31) - 1]])),
            changed(LINEAR, bias=constant([2**31, 0])),
        ),
    }),
    "rescale": Evidence(draws.rescale, RESCALE, breaks={
        "C1": (changed(RESCALE, x=tensor(2, 4, 4, hi=2**31)),),
        "C2": (
            changed(RESCALE, axis=1),
            changed(RESCALE, axis=3),
            changed(RESCALE, shift=constant([24])),
            changed(RESCALE, multiplier=ones(2, 1), shift=ones(2, 1)),
        ),
        "C3": (
            changed(RESCALE, multiplier=constant([2**23, 2**24])),
            changed(RESCALE, multiplier=constant([2**23 - 1, 2**23])),
        ),
        "C4": (changed(RESCALE, shift=constant([24, 63])), changed(RESCALE, shift=constant([0, 24]))),
        "C5": (changed(RESCALE, lo=256),),
    }),
    "requantize": Evidence(draws.requantize, REQUANTIZE, breaks={
        "C1": (changed(REQUANTIZE, x=tensor(2, 4, 4, hi=2**31)),),
        "C2": (
            changed(REQUANTIZE, axis=1),
            changed(REQUANTIZE, shift=ones(3)),
            changed(REQUANTIZE, fraction=ones(3)),
            changed(REQUANTIZE, fraction=ones(2, 1)),
        ),
        "C3": (changed(REQUANTIZE, multiplier=constant([2**23, 2**24])), changed(REQUANTIZE, multiplier=ones(1))),
        "C4": (changed(REQUANTIZE, shift=constant([24, 63])), changed(REQUANTIZE, shift=constant([0, 24]))),
        "C5": (changed(REQUANTIZE, lo=256),),
        "C6": tuple(changed(REQUANTIZE, fraction=constant(past)) for past in ([2**15], [-(2**15) - 1, 0])),
    }),
    "add": Evidence(draws.add, ADD, spreads=draws.some_of_size_1, breaks={
        "C1": (changed(ADD, offset=2**62 - 2**23 - 255 * (2**23 + 2**20)),),
        "C2": (changed(ADD, b=tensor(2, 4, 2)), changed(ADD, b=tensor(4, 4)), changed(ADD, a=tensor(3, 4, 4))),
        "C3": (changed(ADD, hi=-1),),
    }),
    "clamp": Evidence(draws.clamp, CLAMP, breaks={"C1": (changed(CLAMP, lo=7),)}),
    "max_pool2d": Evidence(draws.max_pool2d, MAX_POOL2D, ranks=range(3, 4), breaks={
        "C1": (changed(MAX_POOL2D, x=tensor(4, 4)),),
        "C2": (changed(MAX_POOL2D, kernel=(5, 1)), changed(MAX_POOL2D, kernel=(1, 5))),
        "C3": (
            changed(MAX_POOL2D, padding=(0, 0, 0, 2)),
            changed(MAX_POOL2D, padding=(2, 0, 0, 0)),
            changed(MAX_POOL2D, x=tensor(2, 1, 1), padding=(1, 1, 0, 0), kernel=(2, 1), dilation=(2, 1)),
        ),
    }),
    "sum_pool2d": Evidence(draws.sum_pool2d, SUM_POOL2D, ranks=range(3, 4), breaks={
        "C1": (changed(SUM_POOL2D, padding=(0, 0, 0, 1), pad_value=2**29),),
        "C2": (changed(SUM_POOL2D, x=tensor(65536, 4, 4)), changed(SUM_POOL2D, x=tensor(4, 4))),
        "C3": (changed(SUM_POOL2D, kernel=(1, 5)),),
    }),
    "sum": Evidence(draws.sum_, SUM, ranks=range(1, 5), breaks={
        "C1": (changed(SUM, x=tensor(2, 4, 4, hi=2**27)),),
        "C2": tuple(changed(SUM, axes=axes) for axes in ((2, 1), (1, 1), (3,), ())),
    }),
    "reshape": Evidence(draws.reshape, call(x=IMAGE, shape=(32,)), breaks={"C1": (call(x=IMAGE, shape=(2, 4, 3)),)}),
    "pad2d": Evidence(draws.pad2d, call(x=IMAGE, padding=(1, 0, 0, 0), pad_value=0), ranks=range(2, 5), breaks={
        "C1": (call(x=tensor(4), padding=(1, 0, 0, 0), pad_value=0),),
    }),
    "transpose": Evidence(draws.transpose, call(x=IMAGE, axes=(1, 2, 0)), breaks={
        "C1": tuple(call(x=IMAGE, axes=axes) for axes in ((0, 1), (0, 1, 1), (1, 2, 3), (0, 1, 2, 3))),
    }),
    "table": Evidence(draws.table, TABLE, breaks={
        "C1": (
            changed(TABLE, axis=1),
            changed(TABLE, table=ones(10)),
            changed(TABLE, table=ones(2, 0)),
            changed(TABLE, table=ones(1, 65537)),
        ),
        "C2": (changed(TABLE, table=constant([[0, 2**31]])), changed(TABLE, table=constant([[0, -(2**31) - 1]]))),
        "C3": (changed(TABLE, first=2**31 - 9),),
    }),
    "multiply": Evidence(draws.multiply, MULTIPLY, widest=2**14, spreads=draws.some_of_size_1, breaks={
        "C1": (changed(MULTIPLY, a=tensor(2, 4, 4, hi=2**25)),),
        "C2": (
            changed(MULTIPLY, b=tensor(2, 4, 2)),
            changed(MULTIPLY, b=tensor(4, 4)),
            changed(MULTIPLY, a=tensor(3, 4, 4)),
        ),
        "C3": (
            changed(MULTIPLY, zero_a=-(2**31)),
            changed(MULTIPLY, a=tensor(2, 4, 4, lo=-2, hi=-2), zero_a=2**31 - 1),
            changed(MULTIPLY, zero_b=-(2**31)),
        ),
    }),
    "matmul": Evidence(draws.matmul, MATMUL, ranks=range(2, 5), widest=2**12, spreads=draws.fewer_rows, breaks={
        "C1": (changed(MATMUL, a=tensor(2, 4, 4, hi=2**22 + 1)),),
        "C2": (
            changed(MATMUL, b=tensor(2, 3, 3)),
            changed(MATMUL, b=tensor(1, 3, 4)),
            changed(MATMUL, b=tensor(3, 4)),
            call(a=tensor(4), b=tensor(4), zero_a=0, zero_b=0),
        ),
        "C3": (changed(MATMUL, zero_a=-(2**31)), changed(MATMUL, zero_b=-(2**31))),
    }),
    "divide": Evidence(draws.divide, DIVIDE, widest=2**22, spreads=draws.some_of_size_1, breaks={
        "C1": (changed(DIVIDE, shift=54),),
        "C2": (changed(DIVIDE, b=tensor(2, 4, 2)), changed(DIVIDE, b=tensor(4, 4)), changed(DIVIDE, a=tensor(3, 4, 4))),
        "C3": (changed(DIVIDE, zero_a=-(2**31)), changed(DIVIDE, zero_b=-(2**31))),
        "C4": (changed(DIVIDE, lo=256),),
    }),
    "standardize": Evidence(draws.standardize, STANDARDIZE, ranks=range(1, 5), widest=2**16, breaks={
        "C1": (
            changed(STANDARDIZE, fraction=22),
            changed(STANDARDIZE, epsilon=2**62 - 1),
            changed(STANDARDIZE, fraction=21, unit=30),
            changed(STANDARDIZE, x=tensor(2, 4, 2**24), fraction=0, epsilon=0),
        ),
        "C2": (changed(STANDARDIZE, x=tensor()),),
        "C3": (changed(STANDARDIZE, hi=-(2**16)),),
    }),
    "slice": Evidence(draws.slice_, SLICE, ranks=range(1, 5), breaks={
        "C1": tuple(changed(SLICE, **{key: (1, 1)}) for key in ("start", "stop", "step")),
        "C2": (changed(SLICE, start=(0, 4, 0)), changed(SLICE, stop=(2, 5, 4))),
    }),
}  # fmt: skip


def drawn(draw: Draw, name: str, x: Operand) -> Call:
    """A legal step of that op whose every varying operand is `x`."""
    constants, attributes = EVIDENCE[name].draw(draw, x)
    evidence = EVIDENCE[name]
    given = {key: replace(x) for key in evidence.base.operands if key not in constants}
    for key in [*given][1:]:
        given[key] = replace(x, shape=evidence.spreads(draw, x.shape))
    return call(**given, **{key: constant(data) for key, data in constants.items()}, **attributes)
