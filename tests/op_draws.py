"""How legal steps of each integer op are drawn: constants and attributes for an operand, up to the brim of a proof."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st
from lowbit.backends.fixed.op import Attribute, Operand
from lowbit.backends.fixed.sums import partial_dot
from lowbit.backends.fixed.types import INT32, Range
from lowbit.backends.fixed.window import Window

Draw = Callable[[st.SearchStrategy[Any]], Any]
Constants = dict[str, np.ndarray[Any, Any]]
Parts = tuple[Constants, dict[str, Attribute]]


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
    axes = len(x.shape) - 1
    few, fewest, none = (st.tuples(*[st.integers(1, most)] * axes) for most in (3, 2, 1))
    padding = draw(st.tuples(*[st.integers(0, 2)] * 2 * axes) | st.just((0, 0) * axes))
    kernel, stride, dilation = draw(few), draw(few), draw(fewest if dilated else none)
    if not Window(kernel, stride, padding, dilation).fits(*x.shape[1:]):
        kernel = (1,) * axes
    return {"kernel": kernel, "stride": stride, "padding": padding, "dilation": dilation}


def _pad_value(draw: Draw, x: Operand) -> int:
    value: int = draw(st.sampled_from([0, x.range.lo, x.range.hi, 3, -100, 2**24 + 1]))
    return value


def convolution(draw: Draw, x: Operand) -> Parts:
    window, pad_value = _window(draw, x), _pad_value(draw, x)
    groups = draw(st.sampled_from([g for g in range(1, x.shape[0] + 1) if x.shape[0] % g == 0]))
    shape = (groups * draw(st.integers(1, 2)), x.shape[0] // groups, *window.pop("kernel"))
    seen = x.range | Range(pad_value, pad_value)
    return _weights(draw, shape, seen), {**window, "groups": groups, "pad_value": pad_value}


def linear(draw: Draw, x: Operand) -> Parts:
    return _weights(draw, (draw(st.integers(1, 4)), x.shape[-1]), x.range), {}


def _bounds(draw: Draw) -> dict[str, int]:
    lo, hi = draw(st.sampled_from([(0, 255), (-128, 127), (-8, 7), (0, 0), (-1, 0), (INT32.lo, INT32.hi)]))
    return {"lo": lo, "hi": hi}


ZEROS = st.sampled_from([0, 0, 1, 128, -128, INT32.lo, INT32.hi])
MULTIPLIERS = st.sampled_from([2**23, 2**23 + 1, 3 * 2**22, 2**24 - 1]) | st.integers(2**23, 2**24 - 1)
# With the first shifts ties are common; the last two are the ends.
SHIFTS = st.sampled_from([24, 25, 26]) | st.integers(20, 40) | st.sampled_from([1, 62])


def rescale(draw: Draw, x: Operand) -> Parts:
    axis = draw(st.integers(0, max(0, len(x.shape) - 1)))
    length = draw(st.sampled_from([1, *x.shape[axis : axis + 1]]))
    constants = {
        name: np.array(draw(st.lists(some, min_size=length, max_size=length)), np.int64)
        for name, some in (("multiplier", MULTIPLIERS), ("shift", SHIFTS))
    }
    return constants, {"axis": axis, "zero": draw(ZEROS), **_bounds(draw)}


def requantize(draw: Draw, x: Operand) -> Parts:
    constants, attributes = rescale(draw, x)
    length = draw(st.sampled_from([1, *x.shape[attributes["axis"] :][:1]]))
    fractions = st.sampled_from([-(2**15), -1, 0, 1, 2**15 - 1]) | st.integers(-(2**15), 2**15 - 1)
    found = np.array(draw(st.lists(fractions, min_size=length, max_size=length)), np.int64)
    whole = {"zero": 0, "lo": -(2**15), "hi": 2**15}  # a code that saturates shows no fraction
    return {**constants, "fraction": found}, {**attributes, **draw(st.sampled_from([{}, {}, whole]))}


def add(draw: Draw, x: Operand) -> Parts:
    signed = st.sampled_from([-(2**24), -1, 0, 1, 2**22, 2**23, 2**24]) | st.integers(-(2**24), 2**24)
    offset = st.sampled_from([0, 1, -1, 2**23]) | st.integers(-(2**40), 2**40)
    attributes = {"multiplier_a": draw(signed), "multiplier_b": draw(signed), "offset": draw(offset)}
    return {}, {**attributes, "shift": draw(SHIFTS), "zero": draw(ZEROS), **_bounds(draw)}


def clamp(draw: Draw, x: Operand) -> Parts:
    return {}, _bounds(draw)


def max_pool2d(draw: Draw, x: Operand) -> Parts:
    window = _window(draw, x)
    if not Window(**window).always_sees(*x.shape[1:]):
        window |= {"padding": (0, 0, 0, 0), "kernel": (1, 1)}
    return {}, window


def sum_pool2d(draw: Draw, x: Operand) -> Parts:
    window, pad_value = _window(draw, x, dilated=False), _pad_value(draw, x)
    window.pop("dilation")
    if math.prod(window["kernel"]) * (x.range | Range(pad_value, pad_value)).magnitude > INT32.hi:
        window["kernel"] = (1, 1)
    return {}, {**window, "pad_value": pad_value}


def sum_(draw: Draw, x: Operand) -> Parts:
    axes = sorted(draw(st.sets(st.integers(0, len(x.shape) - 1), min_size=1)))
    assume(math.prod(x.shape[a] for a in axes) * x.range.magnitude <= INT32.hi)
    return {}, {"axes": tuple(axes), "keepdim": draw(st.integers(0, 1))}


def reshape(draw: Draw, x: Operand) -> Parts:
    size = math.prod(x.shape)
    shapes = [(size,), (1, size), (size, 1, 1), tuple(reversed(x.shape)), x.shape]
    return {}, {"shape": draw(st.sampled_from(shapes))}


def pad2d(draw: Draw, x: Operand) -> Parts:
    return {}, {"padding": draw(st.tuples(*[st.integers(0, 2)] * 4)), "pad_value": _pad_value(draw, x)}


def slice_(draw: Draw, x: Operand) -> Parts:
    places = [draw(st.tuples(st.integers(0, n - 1), st.integers(1, n), st.integers(1, n))) for n in x.shape]
    start, stop, step = zip(*[(a, max(a + 1, b), c) for a, b, c in places], strict=True)
    return {}, {"start": start, "stop": stop, "step": step}


def concat(draw: Draw, x: Operand) -> Parts:
    return {}, {"axis": draw(st.integers(0, len(x.shape) - 1))}


def take(draw: Draw, x: Operand) -> Parts:
    axis = draw(st.integers(0, len(x.shape) - 1))
    places = draw(st.lists(st.integers(0, x.shape[axis] - 1), min_size=1, max_size=6))
    return {"places": np.array(places, np.int64)}, {"axis": axis}


def transpose(draw: Draw, x: Operand) -> Parts:
    return {}, {"axes": tuple(draw(st.permutations(range(len(x.shape)))))}


def table(draw: Draw, x: Operand) -> Parts:
    axis = draw(st.integers(0, max(0, len(x.shape) - 1)))
    rows = draw(st.sampled_from([1, *x.shape[axis : axis + 1]]))
    entries = draw(st.sampled_from([1, 2, 16, 256]))
    first = draw(st.sampled_from([0, x.range.lo, x.range.hi - entries, -3, INT32.hi - 255, INT32.lo]))
    random, most = np.random.default_rng(draw(st.integers(0, 2**32))), draw(st.sampled_from([1, 127, 2**31 - 1]))
    return {"table": random.integers(-most - 1, most, (rows, entries), endpoint=True)}, {
        "axis": axis,
        "first": min(max(first, INT32.lo), INT32.hi - entries + 1),
    }


def multiply(draw: Draw, x: Operand) -> Parts:
    zeros = st.sampled_from([0, 0, 1, -1, x.range.lo, x.range.hi])
    return {}, {"zero_a": draw(zeros), "zero_b": draw(zeros)}


def some_of_size_1(draw: Draw, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape, with size 1 along some axes."""
    return tuple(draw(st.sampled_from([size, size, 1])) for size in shape)


def fewer_rows(draw: Draw, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape, with another size along the last axis but one."""
    return (*shape[:-2], draw(st.integers(1, shape[-2])), shape[-1])


def matmul(draw: Draw, x: Operand) -> Parts:
    zeros = st.sampled_from([0, x.range.lo, x.range.hi, 2**13 - 1, -(2**13)])
    zero_a, zero_b = draw(zeros), draw(zeros)
    assume(x.shape[-1] * (x.range.magnitude + abs(zero_a)) * (x.range.magnitude + abs(zero_b)) <= INT32.hi)
    return {}, {"zero_a": zero_a, "zero_b": zero_b}


def divide(draw: Draw, x: Operand) -> Parts:
    zero_b = draw(st.sampled_from([0, x.range.lo - 1, x.range.lo - 3, x.range.lo + 3]))
    # With the first shifts most quotients are neither zero nor saturated; b - zero_b has up to 24 bits.
    shift = draw(st.sampled_from([16, 18, 20, 22, 24]) | st.sampled_from([1, 37]))
    multiplier = draw(MULTIPLIERS | st.sampled_from([1, 2, 2**24]))
    zero_a = draw(st.sampled_from([0, 0, x.range.lo, x.range.hi, -7]))
    attributes = {"zero_a": zero_a, "zero_b": zero_b, "multiplier": multiplier, "shift": shift}
    return {}, {**attributes, "zero": draw(ZEROS | st.just(0)), **_bounds(draw)}


def standardize(draw: Draw, x: Operand) -> Parts:
    zero, n = draw(st.sampled_from([0, 0, 1, x.range.lo, x.range.hi])), x.shape[-1]
    bits = (2 * n * (x.range.magnitude + abs(zero))).bit_length()
    fraction = draw(st.integers(0, max(0, 59 - 2 * bits) // 2))
    unit = draw(st.integers(0, min(30, 59 - bits - fraction)))
    epsilon = draw(st.sampled_from([0, 0, 1, 1000, 2**40]))
    attributes = {"centred": draw(st.integers(0, 1)), "zero": zero, "fraction": fraction, "epsilon": epsilon}
    return {}, {**attributes, "unit": unit, **_bounds(draw)}
