"""Programs for the laws of generated C that each meet one thing that goes wrong easily, whatever is drawn elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from lowbit.backends.fixed.program import Builder, Port
from lowbit.backends.fixed.types import Range
from programs import Drawn, uniform


def corners() -> Iterator[Drawn]:
    """Programs that each meet a place where memory, or a constant, could be taken for another."""
    yield _made((3,), Range(-1, 300), _least_sum)
    for made in (_read_again, _residual, _turned, _flat, _divided):
        yield _made((4, 5, 5), Range(-128, 127), made)
    yield _made((5, 6), Range(-128, 127), _rows)


def _made(shape: tuple[int, ...], held: Range, made: Callable[[Builder, int], int]) -> Drawn:
    builder = Builder()
    x = builder.input(shape, held)
    program = builder.build([Port(x, 2**23, 23)], [Port(made(builder, x), 2**23, 23)])
    ends = np.resize([held.lo, held.hi, 0, 1], (1, *shape))
    return Drawn(program, [np.concatenate([ends, uniform(None, (2, *shape), held, 0)])], [])


def _grid(builder: Builder, value: int, length: int = 1) -> int:
    numbers = (builder.constant(2**23 + 2**20 * np.arange(length)), builder.constant(np.full(length, 26)))
    return builder.step("rescale", value, *numbers, axis=0, zero=0, lo=-128, hi=127)


def _least_sum(builder: Builder, x: int) -> int:
    """The least sum is one below zero: other sums of one shift are made positive by more than needed. The greatest asks
    for 16 bits: in 8 a sum that was not made positive would wrap around to itself."""
    numbers = (builder.constant([2**23 + 1]), builder.constant([23]))
    return builder.step("rescale", x, *numbers, axis=0, zero=0, lo=-(2**15), hi=2**15 - 1)


def _pooled(builder: Builder, x: int) -> int:
    """In the arena, which inputs are not."""
    return builder.step("max_pool2d", x, kernel=(2, 2), stride=(1, 1), padding=(0, 0, 0, 0), dilation=(1, 1))


def _sum(builder: Builder, a: int, b: int) -> int:
    numbers = {"multiplier_a": 2**23, "multiplier_b": 2**22, "shift": 23, "zero": 0, "offset": 0}
    return builder.step("add", a, b, **numbers, lo=-128, hi=127)


def _read_again(builder: Builder, x: int) -> int:
    """What is read element by element, and once more by a step behind that one."""
    held = _pooled(builder, x)
    first = builder.step("clamp", held, lo=-100, hi=3)
    return _sum(builder, _pooled(builder, held), _pooled(builder, first))


def _residual(builder: Builder, x: int) -> int:
    """A layer that adds what it reads."""
    held = _pooled(builder, x)
    weight, bias = builder.constant(np.resize([1, -2, 3], (4, 4, 3, 3))), builder.constant(np.arange(4))
    attributes = {"stride": (1, 1), "padding": (1, 1, 1, 1), "dilation": (1, 1), "groups": 1, "pad_value": 0}
    return _sum(builder, _grid(builder, builder.step("conv2d", held, weight, bias, **attributes)), held)


def _turned(builder: Builder, x: int) -> int:
    """A sum of a value and of the same, turned."""
    held = _pooled(builder, x)
    return _sum(builder, held, builder.step("transpose", held, axes=(0, 2, 1)))


def _rows(builder: Builder, x: int) -> int:
    """A grid of its own for each row behind a layer whose loops go over columns."""
    weight, bias = builder.constant(np.resize([1, -2, 3], (7, 6))), builder.constant(np.arange(7))
    return _grid(builder, builder.step("linear", x, weight, bias), 5)


def _flat(builder: Builder, x: int) -> int:
    """Channels that lie last in memory, and come first in a shape that takes them for rows."""
    return builder.step("clamp", builder.step("reshape", _pooled(builder, x), shape=(8, 8)), lo=-100, hi=100)


def _divided(builder: Builder, x: int) -> int:
    """Quotients below zero that are not whole."""
    numbers = {"multiplier": 2**23, "shift": 20, "zero_a": 0, "zero_b": -200, "zero": 0}
    return builder.step("divide", x, x, **numbers, lo=-128, hi=127)
