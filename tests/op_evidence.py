"""What the suites know of each integer op: how legal steps are drawn, and steps that break each constraint alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st
from lowbit.backends.fixed.op import Attribute, Call, Operand
from lowbit.backends.fixed.sums import partial_dot
from lowbit.backends.fixed.types import INT32, Range
from lowbit.backends.fixed.window import Window

Draw = Callable[[st.SearchStrategy[Any]], Any]
Constants = dict[str, np.ndarray[Any, Any]]
Parts = tuple[Constants, dict[str, Attribute]]


@dataclass(frozen=True)
class Evidence:
    """draw: constants and attributes of a legal step on that operand.   ranks: how many axes it may have.

    base: one legal step.   breaks: constraint -> the same step with only that constraint broken, once for each way.
    """

    draw: Callable[[Draw, Operand], Parts]
    base: Call
    breaks: Mapping[str, tuple[Call, ...]]
    ranks: range = range(5)


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


def brim(weight: np.ndarray[Any, Any], seen: Range) -> np.ndarray[Any, Any]:
    """The largest biases with which C1 still holds: the widest sum is exactly 2^31 - 1."""
    spare = [INT32.hi - partial_dot(row[None], np.zeros(1, np.int64), seen).hi for row in weight]
    return np.array(spare, dtype=np.int64)


def _weights(draw: Draw, shape: tuple[int, ...], seen: Range) -> Constants:
    """Weights of every kind up to the largest that C1 allows, and biases up to the brim."""
    most = min(INT32.hi // (math.prod(shape[1:]) * max(1, (seen | Range(0, 0)).magnitude)), INT32.hi)
    limit = min(draw(st.sampled_from([0, 1, 7, 127, 2**15, most])), most)
    signs = draw(st.sampled_from([(-1, 2), (0, 2), (-1, 1)]))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    if draw(st.booleans()):
        weight = random.integers(*signs, shape) * limit
    else:
        weight = random.integers(limit * signs[0], limit * (signs[1] - 1) + 1, shape)
    spare = brim(weight, seen)
    bias = {"none": 0 * spare, "some": random.integers(0, spare + 1), "brim": spare}
    return {"weight": weight, "bias": bias[draw(st.sampled_from(sorted(bias)))]}


def _window(draw: Draw, x: Operand, dilated: bool = True) -> dict[str, Any]:
    few = st.integers(1, 3)
    padding = draw(st.tuples(*[st.integers(0, 2)] * 4) | st.just((0, 0, 0, 0)))
    dilation = draw(st.tuples(st.integers(1, 2), st.integers(1, 2))) if dilated else (1, 1)
    kernel, stride = draw(st.tuples(few, few)), draw(st.tuples(few, few))
    if not Window(kernel, stride, padding, dilation).fits(*x.shape[1:]):
        kernel = (1, 1)
    return {"kernel": kernel, "stride": stride, "padding": padding, "dilation": dilation}


def _pad_value(draw: Draw, x: Operand) -> int:
    value: int = draw(st.sampled_from([0, x.range.lo, x.range.hi, 3, -100, 2**24 + 1]))
    return value


def _conv2d(draw: Draw, x: Operand) -> Parts:
    window, pad_value = _window(draw, x), _pad_value(draw, x)
    groups = draw(st.sampled_from([g for g in range(1, x.shape[0] + 1) if x.shape[0] % g == 0]))
    shape = (groups * draw(st.integers(1, 2)), x.shape[0] // groups, *window.pop("kernel"))
    seen = x.range | Range(pad_value, pad_value)
    return _weights(draw, shape, seen), {**window, "groups": groups, "pad_value": pad_value}


def _linear(draw: Draw, x: Operand) -> Parts:
    return _weights(draw, (draw(st.integers(1, 4)), x.shape[-1]), x.range), {}


def _bounds(draw: Draw) -> dict[str, int]:
    lo, hi = draw(st.sampled_from([(0, 255), (-128, 127), (-8, 7), (0, 0), (-1, 0), (INT32.lo, INT32.hi)]))
    return {"lo": lo, "hi": hi}


ZEROS = st.sampled_from([0, 0, 1, 128, -128, INT32.lo, INT32.hi])
MULTIPLIERS = st.sampled_from([2**23, 2**23 + 1, 3 * 2**22, 2**24 - 1]) | st.integers(2**23, 2**24 - 1)
# With the first shifts ties are common; the last two are the ends.
SHIFTS = st.sampled_from([24, 25, 26]) | st.integers(20, 40) | st.sampled_from([1, 62])


def _rescale(draw: Draw, x: Operand) -> Parts:
    axis = draw(st.integers(0, max(0, len(x.shape) - 1)))
    length = draw(st.sampled_from([1, *x.shape[axis : axis + 1]]))
    constants = {
        name: np.array(draw(st.lists(some, min_size=length, max_size=length)), np.int64)
        for name, some in (("multiplier", MULTIPLIERS), ("shift", SHIFTS))
    }
    return constants, {"axis": axis, "zero": draw(ZEROS), **_bounds(draw)}


def _add(draw: Draw, x: Operand) -> Parts:
    signed = st.sampled_from([-(2**24), -1, 0, 1, 2**22, 2**23, 2**24]) | st.integers(-(2**24), 2**24)
    offset = st.sampled_from([0, 1, -1, 2**23]) | st.integers(-(2**40), 2**40)
    attributes = {"multiplier_a": draw(signed), "multiplier_b": draw(signed), "offset": draw(offset)}
    return {}, {**attributes, "shift": draw(SHIFTS), "zero": draw(ZEROS), **_bounds(draw)}


def _clamp(draw: Draw, x: Operand) -> Parts:
    return {}, _bounds(draw)


def _max_pool2d(draw: Draw, x: Operand) -> Parts:
    window = _window(draw, x)
    if not Window(**window).always_sees(*x.shape[1:]):
        window |= {"padding": (0, 0, 0, 0), "kernel": (1, 1)}
    return {}, window


def _sum_pool2d(draw: Draw, x: Operand) -> Parts:
    window, pad_value = _window(draw, x, dilated=False), _pad_value(draw, x)
    window.pop("dilation")
    if math.prod(window["kernel"]) * (x.range | Range(pad_value, pad_value)).magnitude > INT32.hi:
        window["kernel"] = (1, 1)
    return {}, {**window, "pad_value": pad_value}


def _sum(draw: Draw, x: Operand) -> Parts:
    axes = sorted(draw(st.sets(st.integers(0, len(x.shape) - 1), min_size=1)))
    assume(math.prod(x.shape[a] for a in axes) * x.range.magnitude <= INT32.hi)
    return {}, {"axes": tuple(axes), "keepdim": draw(st.integers(0, 1))}


def _reshape(draw: Draw, x: Operand) -> Parts:
    size = math.prod(x.shape)
    shapes = [(size,), (1, size), (size, 1, 1), tuple(reversed(x.shape)), x.shape]
    return {}, {"shape": draw(st.sampled_from(shapes))}


def _pad2d(draw: Draw, x: Operand) -> Parts:
    return {}, {"padding": draw(st.tuples(*[st.integers(0, 2)] * 4)), "pad_value": _pad_value(draw, x)}


def _slice(draw: Draw, x: Operand) -> Parts:
    places = [draw(st.tuples(st.integers(0, n - 1), st.integers(1, n), st.integers(1, n))) for n in x.shape]
    start, stop, step = zip(*[(a, max(a + 1, b), c) for a, b, c in places], strict=True)
    return {}, {"start": start, "stop": stop, "step": step}


def _transpose(draw: Draw, x: Operand) -> Parts:
    return {}, {"axes": tuple(draw(st.permutations(range(len(x.shape)))))}


IMAGE, WINDOW = tensor(2, 4, 4), {"stride": (1, 1), "padding": (0, 0, 0, 0), "dilation": (1, 1)}
CONV2D = call(x=IMAGE, weight=ones(4, 1, 2, 2), bias=ones(4), **WINDOW, groups=2, pad_value=0)
LINEAR = call(x=tensor(3), weight=ones(2, 3), bias=ones(2))
RESCALE = call(
    x=IMAGE, multiplier=constant([2**23, 2**23]), shift=constant([24, 25]), axis=0, zero=0, lo=0, hi=255
)  # fmt: skip
ADD = call(
    a=IMAGE, b=IMAGE, multiplier_a=2**23, multiplier_b=2**20, shift=24, zero=0, lo=0, hi=255, offset=0
)  # fmt: skip
CLAMP = call(x=IMAGE, lo=0, hi=6)
MAX_POOL2D = call(x=IMAGE, kernel=(2, 2), **WINDOW)
SLICE = call(x=IMAGE, start=(0, 1, 0), stop=(2, 4, 4), step=(1, 2, 1))
SUM_POOL2D = call(x=IMAGE, kernel=(2, 2), stride=(2, 2), padding=(0, 0, 0, 0), pad_value=0)
SUM = call(x=IMAGE, axes=(1, 2), keepdim=0)

# The sums below are one past what fits: 2^31 as a sum, or as the value of padding that only the border sees.
EVIDENCE: Mapping[str, Evidence] = {
    "conv2d": Evidence(_conv2d, CONV2D, ranks=range(3, 4), breaks={
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
    "linear": Evidence(_linear, LINEAR, ranks=range(1, 5), breaks={
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
    "rescale": Evidence(_rescale, RESCALE, breaks={
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
    "add": Evidence(_add, ADD, breaks={
        "C1": (changed(ADD, offset=2**62 - 2**23 - 255 * (2**23 + 2**20)),),
        "C2": (changed(ADD, b=tensor(2, 4, 1)),),
        "C3": (changed(ADD, hi=-1),),
    }),
    "clamp": Evidence(_clamp, CLAMP, breaks={"C1": (changed(CLAMP, lo=7),)}),
    "max_pool2d": Evidence(_max_pool2d, MAX_POOL2D, ranks=range(3, 4), breaks={
        "C1": (changed(MAX_POOL2D, x=tensor(4, 4)),),
        "C2": (changed(MAX_POOL2D, kernel=(5, 1)), changed(MAX_POOL2D, kernel=(1, 5))),
        "C3": (
            changed(MAX_POOL2D, padding=(0, 0, 0, 2)),
            changed(MAX_POOL2D, padding=(2, 0, 0, 0)),
            changed(MAX_POOL2D, x=tensor(2, 1, 1), padding=(1, 1, 0, 0), kernel=(2, 1), dilation=(2, 1)),
        ),
    }),
    "sum_pool2d": Evidence(_sum_pool2d, SUM_POOL2D, ranks=range(3, 4), breaks={
        "C1": (changed(SUM_POOL2D, padding=(0, 0, 0, 1), pad_value=2**29),),
        "C2": (changed(SUM_POOL2D, x=tensor(65536, 4, 4)), changed(SUM_POOL2D, x=tensor(4, 4))),
        "C3": (changed(SUM_POOL2D, kernel=(1, 5)),),
    }),
    "sum": Evidence(_sum, SUM, ranks=range(1, 5), breaks={
        "C1": (changed(SUM, x=tensor(2, 4, 4, hi=2**27)),),
        "C2": tuple(changed(SUM, axes=axes) for axes in ((2, 1), (1, 1), (3,), ())),
    }),
    "reshape": Evidence(_reshape, call(x=IMAGE, shape=(32,)), breaks={"C1": (call(x=IMAGE, shape=(2, 4, 3)),)}),
    "pad2d": Evidence(_pad2d, call(x=IMAGE, padding=(1, 0, 0, 0), pad_value=0), ranks=range(2, 5), breaks={
        "C1": (call(x=tensor(4), padding=(1, 0, 0, 0), pad_value=0),),
    }),
    "transpose": Evidence(_transpose, call(x=IMAGE, axes=(1, 2, 0)), breaks={
        "C1": tuple(call(x=IMAGE, axes=axes) for axes in ((0, 1), (0, 1, 1), (1, 2, 3), (0, 1, 2, 3))),
    }),
    "slice": Evidence(_slice, SLICE, ranks=range(1, 5), breaks={
        "C1": tuple(changed(SLICE, **{key: (1, 1)}) for key in ("start", "stop", "step")),
        "C2": (changed(SLICE, start=(0, 4, 0)), changed(SLICE, stop=(2, 5, 4))),
    }),
}  # fmt: skip


def drawn(draw: Draw, name: str, x: Operand) -> Call:
    """A legal step of that op whose every varying operand is `x`."""
    constants, attributes = EVIDENCE[name].draw(draw, x)
    base = EVIDENCE[name].base
    given = {key: replace(x) for key in base.operands if key not in constants}
    return call(**given, **{key: constant(data) for key, data in constants.items()}, **attributes)
