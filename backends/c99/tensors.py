"""Where the elements of a value lie in memory, and the orders that ops want them in."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from ..fixed.op import Call
from .integers import Integer

Order: TypeAlias = tuple[int, ...]
"""The axes of a value (without the batch), from the outermost in memory to the innermost."""
Wanted: TypeAlias = tuple[tuple[Order | None, ...], Order]
"""The orders that a step wants its operands in (None: any), and the order of its output."""


@dataclass(frozen=True)
class Tensor:
    """A value in memory. buffer: which; two tensors of one buffer are the same integers.   order: of its axes."""

    buffer: int
    shape: tuple[int, ...]
    order: Order
    type: Integer

    @property
    def elements(self) -> int:
        return math.prod(self.shape)

    @property
    def strides(self) -> tuple[int, ...]:
        """Elements from one index of each axis to the next."""
        return strides(self.shape, self.order)

    @property
    def last(self) -> int:
        """The size of the innermost axis; 1 where there is none."""
        return self.shape[self.order[-1]] if self.shape else 1

    def lies(self, order: Order) -> bool:
        """Whether its elements are where that order puts them; axes of size 1 do not matter."""
        pairs = zip(self.shape, self.strides, strides(self.shape, order), strict=True)
        return all(size == 1 or a == b for size, a, b in pairs)


def strides(shape: Sequence[int], order: Order) -> tuple[int, ...]:
    """Elements from one index of each axis to the next, for a shape in that order."""
    steps, step = [0] * len(shape), 1
    for axis in reversed(order):
        steps[axis] = step
        step *= shape[axis]
    return tuple(steps)


def row_major(rank: int) -> Order:
    """As the program counts its elements: the last axis innermost."""
    return tuple(range(rank))


def channels_last(rank: int) -> Order:
    """The first axis innermost, so that what a weight meets lies side by side."""
    return (*range(1, rank), 0)


def pixels(call: Call, orders: tuple[Order, ...]) -> Wanted:
    """Channels last, before and behind."""
    return (channels_last(len(orders[0])),), channels_last(len(orders[0]))


def rows(call: Call, orders: tuple[Order, ...]) -> Wanted:
    """Row by row, before and behind."""
    return (row_major(len(orders[0])),), row_major(len(orders[0]))


def layer(call: Call, orders: tuple[Order, ...]) -> Wanted:
    """As what a layer's weights meet: pixel by pixel for a convolution, row by row for a linear."""
    return pixels(call, orders) if len(call.weight.shape) > 2 else rows(call, orders)


def follow(call: Call, orders: tuple[Order, ...]) -> Wanted:
    """As the first operand lies."""
    return (None,) * len(orders), orders[0]
