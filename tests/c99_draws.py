"""Programs for the laws of generated C: the suites' own, and layers followed by all that may run in their loops."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from hypothesis import given
from lowbit.backends.c99.variants import AVX2, VNNI_256, VNNI_512
from lowbit.backends.fixed.program import Builder, Port
from lowbit.backends.fixed.types import INT32, Range
from lowbit.backends.fixed.verify import IllegalStep
from programs import Drawn, every_op, laws, programs, steps, uniform

Random = np.random.Generator
FLAGS = {
    AVX2: ("-mavx2",),
    VNNI_256: ("-mavx2", "-mavxvnni"),
    VNNI_512: ("-mavx2", "-mavx512vnni", "-mavx512vl", "-mavx512bw"),
}
"""What tells a compiler that it may take a variant, and not those behind it."""
ENDS = [(0, 255), (-128, 127), (0, 1), (-3, 100), (-(2**15), 2**15 - 1), (0, 2**16 - 1)]


def small(most: int = 40, each: int = 5) -> list[Drawn]:
    """Drawn programs, and drawn steps of every op: collected first, since one compilation of all is fast."""
    found: list[Drawn] = []

    def collect(case: Drawn) -> None:
        found.append(case)

    laws(most)(given(programs())(collect))()
    for op in every_op():
        laws(each)(given(steps(op))(collect))()
    return found


def fused(seeds: Iterable[int] = range(40)) -> Iterator[Drawn]:
    """Layers of every form, each with a chain behind it that a kernel may run in its loops; one program a seed."""
    for seed in seeds:
        random = np.random.default_rng(seed)
        builder = Builder()
        channels, sizes = int(random.choice([1, 3, 4, 6, 16, 17, 32, 40])), random.integers(1, 8, 2)
        x = builder.input((channels, *map(int, sizes)), Range(*ENDS[random.integers(len(ENDS))]))
        beside = layer(random, builder, x)
        value = layer(random, builder, x)
        for _ in range(random.integers(0, 5)):
            value = followed(random, builder, value, [x, beside])
        value = layer(random, builder, value) if random.integers(2) else value
        outputs = dict.fromkeys([value, *([beside] if random.integers(3) == 0 else [])])
        program = builder.build([Port(x, 2**23, 23)], [Port(each, 2**23, 23) for each in outputs])
        held = program.values[x]
        yield Drawn(program, [uniform(None, (2, *held.shape), held.range, seed)], [])


def saturating() -> Iterator[Drawn]:
    """Saturations that act on the least or the greatest integer alone, or on none."""
    for lo, hi in [(-7, 8), (-6, 8), (-7, 7), (-6, 7)]:
        builder = Builder()
        x = builder.input((3,), Range(-7, 8))
        clamped = builder.step("clamp", x, lo=lo, hi=hi)
        program = builder.build([Port(x, 2**23, 23)], [Port(clamped, 2**23, 23)])
        yield Drawn(program, [np.array([[-7, 0, 8], [-6, 7, 1]])], [])


def extreme() -> Iterator[Drawn]:
    """Layers whose weights are all the greatest, all the least, or both by turns, for bytes that are so too,
    and wider ones."""
    ends = [np.array(each) for each in ([127], [-128], [127, -128], [-127, 127, 127], [64], [65, 63], [111])]
    for number, (lo, hi) in enumerate([(0, 255), (-128, 127), (0, 127), (-100, 20)]):
        for weights in ends:
            yield repeated(weights, lo, hi, 1 + number % 2)
    yield repeated(np.array([300, -129, 128]), 0, 255, 1)
    yield frames()
    yield bordered()


def typed() -> Iterator[Drawn]:
    """A layer with rows of 32 for each type that its values can have, over all of its range."""
    random = np.random.default_rng(0)
    for lo, hi in [*ENDS[:2], *ENDS[4:], (-(2**31), 2**31 - 1)]:
        builder = Builder()
        x = builder.input((5, 6), Range(-128, 127))
        weight = builder.constant(random.integers(-128, 128, (32, 6)))
        made = builder.step("linear", x, weight, builder.constant(random.integers(-1000, 1000, 32)))
        numbers = (np.full(32, 2**23 + 12345), np.full(32, 48 - Range(lo, hi).magnitude.bit_length()))
        bounds = {"axis": 1, "zero": (lo + hi + 1) // 2, "lo": lo, "hi": hi}
        y = builder.step("rescale", made, *map(builder.constant, numbers), **bounds)
        program = builder.build([Port(x, 2**23, 23)], [Port(y, 2**23, 23)])
        yield Drawn(program, [random.integers(-128, 128, (2, 5, 6))], [])


def bordered() -> Drawn:
    """A convolution of each channel on its own, of bytes without a sign, whose border is below zero."""
    builder, random = Builder(), np.random.default_rng(0)
    x = builder.input((40, 3, 4), Range(0, 255))
    weight = builder.constant(random.integers(-128, 128, (40, 1, 3, 2)))
    attributes = {"stride": (1, 1), "padding": (1, 1, 1, 0), "dilation": (1, 1), "groups": 40, "pad_value": -7}
    y = builder.step("conv2d", x, weight, builder.constant(np.arange(40)), **attributes)
    program = builder.build([Port(x, 2**23, 23)], [Port(y, 2**23, 23)])
    return Drawn(program, [random.integers(0, 256, (2, 40, 3, 4))], [])


def repeated(
    weights: np.ndarray[Any, Any],
    lo: int,
    hi: int,
    dilation: int = 1,
    stride: tuple[int, int] = (1, 1),
    shape: tuple[int, int, int] = (5, 6, 7),
) -> Drawn:
    """A convolution and a linear of those weights over and over, on images of the ends of that range."""
    builder = Builder()
    x = builder.input(shape, Range(lo, hi))
    weight = builder.constant(np.resize(weights, (18, shape[0], 3, 2)))
    attributes = {"stride": stride, "padding": (1, 0, 0, 1), "dilation": (1, dilation), "groups": 1}
    made = builder.step("conv2d", x, weight, builder.constant(np.arange(18)), **attributes, pad_value=hi)
    rows = builder.constant(np.resize(weights, (3, shape[2])))
    flat = builder.step("linear", x, rows, builder.constant(np.zeros(3)))
    program = builder.build([Port(x, 2**23, 23)], [Port(made, 2**23, 23), Port(flat, 2**23, 23)])
    images = [np.full(shape, hi), np.full(shape, lo), np.resize([hi, lo], shape), np.resize([lo, hi, hi], shape)]
    return Drawn(program, [np.stack(images)], [])


def summed() -> Iterator[Drawn]:
    """Convolutions whose sums 16 bits just hold, or do not, above or below; and lines of more than eight pixels."""
    for weights in ([7, 7, -1, 7], [16, 16, -1, 16], [-16, -16, 1, -16]):
        yield repeated(np.array(weights), 0, 255, 2, (2, 3))
    yield repeated(np.array([3, 0, 0, -2, 1, 0, 4]), 0, 255, 1, (1, 2), (11, 4, 21))


def frames() -> Drawn:
    """A convolution over three axes, with padding that differs on each side, of signed bytes."""
    builder, random = Builder(), np.random.default_rng(0)
    x = builder.input((3, 4, 5, 6), Range(-128, 127))
    weight = builder.constant(random.integers(-128, 128, (7, 3, 2, 3, 2)))
    attributes = {
        "stride": (1, 2, 1),
        "padding": (1, 0, 2, 1, 0, 3),
        "dilation": (2, 1, 2),
        "groups": 1,
        "pad_value": 9,
    }
    y = builder.step("conv3d", x, weight, builder.constant(np.arange(7)), **attributes)
    program = builder.build([Port(x, 2**23, 23)], [Port(y, 2**23, 23)])
    return Drawn(program, [random.integers(-128, 128, (2, 3, 4, 5, 6))], [])


def weighted() -> Drawn:
    """A convolution, one of each channel on its own, and a linear on one row; most of their small weights are zeros."""
    builder, random = Builder(), np.random.default_rng(0)
    x = builder.input((20, 6, 5), Range(0, 255))
    value = x
    for depth, groups in ((20, 1), (1, 24)):
        weight = random.integers(-3, 4, (24, depth, 3, 3)) * (random.random((24, depth, 3, 3)) < 0.1)
        attributes = {"stride": (1, 1), "padding": (1, 1, 1, 1), "dilation": (1, 1), "groups": groups, "pad_value": 0}
        numbers = [builder.constant(each) for each in (weight, random.integers(-99, 99, 24))]
        value = builder.step("conv2d", value, *numbers, **attributes)
        value = builder.step("clamp", value, lo=-100, hi=100)
    flat = builder.step("sum", value, axes=(1, 2), keepdim=0)
    weight = random.integers(-3, 4, (70, 24)) * (random.random((70, 24)) < 0.1)
    made = builder.step("linear", flat, builder.constant(weight), builder.constant(np.zeros(70)))
    program = builder.build([Port(x, 2**23, 23)], [Port(made, 2**23, 23)])
    return Drawn(program, [random.integers(0, 256, (3, 20, 6, 5))], [])


def layer(random: Random, builder: Builder, x: int) -> int:
    """A layer of any form on a value, as large as its proof allows, and a grid behind it."""
    shape = builder[x].shape
    names = ["conv2d", "depthwise", "grouped", "linear", "max_pool2d", "sum"] if len(shape) == 3 else ["linear"]
    name = str(random.choice(names))
    if name == "max_pool2d":
        size = tuple(int(min(2, n)) for n in shape[1:])
        return builder.step(name, x, kernel=size, stride=(1, 2), padding=(0, 0, 0, 0), dilation=(1, 1))
    if name == "sum":
        return builder.step(name, x, axes=(1, 2), keepdim=int(random.integers(2)))
    attributes, weights = _form(random, name, shape)
    fits = INT32.hi // (int(np.prod(weights[1:])) * max(1, builder[x].range.magnitude) * 2)
    most = min(int(random.choice([127, 127, 7, 1])), fits)
    weight = builder.constant(random.integers(-most - (most > 1), most + 1, weights))
    bias = builder.constant(random.integers(-1000, 1000, weights[0]))
    made = builder.step("linear" if name == "linear" else "conv2d", x, weight, bias, **attributes)
    return rescaled(random, builder, made, name != "linear")


def _form(random: Random, name: str, shape: tuple[int, ...]) -> tuple[dict[str, Any], tuple[int, ...]]:
    if name == "linear":
        return {}, (int(random.choice([1, 5, 8])), shape[-1])
    channels = shape[0]
    groups = {"conv2d": 1, "depthwise": channels, "grouped": next(g for g in (3, 2, 1) if channels % g == 0)}[name]
    outputs = channels if name == "depthwise" else groups * int(random.choice([1, 2, 5, 19, 32]))
    kernel = tuple(int(random.integers(1, min(3, n) + 1)) for n in shape[1:])
    padding = tuple(map(int, random.integers(0, 2, 4)))
    stride = tuple(map(int, random.integers(1, 3, 2)))
    attributes = {"stride": stride, "padding": padding, "dilation": (1, 1), "groups": groups}
    pad_value = int(random.choice([0, 0, 3, -100]))
    return {**attributes, "pad_value": pad_value}, (outputs, channels // groups, *kernel)


def rescaled(random: Random, builder: Builder, value: int, first: bool) -> int:
    """The value on a grid of 8 bits or so, with numbers for each channel, of shifts near one another or far apart."""
    shape = builder[value].shape
    axis = 0 if first else len(shape) - 1
    length = int(random.choice([1, shape[axis]])) if shape else 1
    apart = int(random.choice([1, 6, 20]))
    shift = random.integers(20 + apart, 21 + 2 * apart, length)
    multiplier = random.integers(2**23, 2**24, length)
    lo, hi = [(0, 255), (-128, 127), (-8, 7), (-(2**15), 2**15 - 1)][random.integers(4)]
    numbers = [builder.constant(each) for each in (multiplier, shift)]
    bounds = {"axis": axis, "zero": int(random.choice([0, 3, -128])), "lo": lo, "hi": hi}
    if random.integers(2):
        return builder.step("rescale", value, *numbers, **bounds)
    return builder.step("requantize", value, *numbers, builder.constant(random.integers(-128, 128, length)), **bounds)


def followed(random: Random, builder: Builder, value: int, others: list[int]) -> int:
    """The value after one more op that works element by element; the value itself where that would be illegal."""
    shape, axis = builder[value].shape, 0
    name = str(random.choice(["clamp", "table", "add", "multiply", "rescale"]))
    beside = [i for i in others if builder[i].shape == shape] or [value]
    other = int(random.choice(beside))
    try:
        if name == "clamp":
            return builder.step("clamp", value, lo=-5, hi=int(random.choice([6, 100])))
        if name == "rescale":
            return rescaled(random, builder, value, True)
        if name == "table":
            rows = int(random.choice([1, shape[axis]]))
            return builder.step(
                "table", value, builder.constant(random.integers(-99, 99, (rows, 16))), first=-4, axis=axis
            )
        if name == "multiply":
            spread = [i for i in others if builder[i].shape == (*shape[:1], *(1 for _ in shape[1:]))]
            return builder.step("multiply", value, int(random.choice([*spread, other])), zero_a=1, zero_b=0)
        factors = {
            "multiplier_a": int(random.integers(2**20, 2**24)),
            "multiplier_b": int(random.integers(-(2**23), 2**23)),
        }
        numbers = {"shift": int(random.integers(20, 27)), "zero": 0, "lo": -128, "hi": 127, "offset": 77}
        return builder.step("add", *random.permutation([value, other]).tolist(), **factors, **numbers)
    except IllegalStep:
        return value
