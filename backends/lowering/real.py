"""What the integers of a value stand for while a graph is lowered: the reals that the program itself does not know."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from ...compiler.arrays import Floats, Integers
from ...compiler.errors import Unsupported
from ..fixed.program import Port


@dataclass(frozen=True, eq=False)
class Real:
    """real = scale * (q - zero + rest) for the integers q of a value of the program.

    scale: float64 of shape (1,), or (channels,) along `axis`, which is counted without the batch.
    wide: it is an accumulator, whose next reader must be a grid.   rest: what its bias is too coarse for, (channels,)
    and at most 1/2; a reader may leave it out.   note: what had to be done to it that users may want to know.
    """

    value: int
    scale: Floats
    zero: int = 0
    axis: int = 0
    wide: bool = False
    rest: Floats | None = None
    note: str = ""


@dataclass(frozen=True, eq=False)
class Sum:
    """a + times b, not yet rounded to a grid: the grid that reads it does both in one step."""

    a: Real
    b: Real
    times: float = 1.0


@dataclass(frozen=True, eq=False)
class Quotient:
    """a over b, not yet rounded: the grid that reads it divides. b is never below zero."""

    a: Real
    b: Real


@dataclass(frozen=True, eq=False)
class Curve:
    """A function of each integer of x, not yet rounded: the grid that reads it makes a table of it.

    values: float64 of shape (rows, n), the function of the integers first, first + 1, ...: one row for the whole value,
    or one for each index of `axis`, which is counted without the batch.
    """

    x: Real
    values: Floats
    first: int
    axis: int = 0


@dataclass(frozen=True, eq=False)
class Moved:
    """Values of several scales that were put elsewhere, or side by side: moved once the grid behind has rounded them.

    place: the rounded integers of each part -> those of the whole, by steps that only move values.
    """

    parts: tuple[Real | Moved, ...]
    place: Callable[[tuple[int, ...]], int]

    def at_once(self) -> Real | None:
        """The values moved before any rounding, less what their biases are too coarse for, if they have one scale."""
        parts = [part.at_once() if isinstance(part, Moved) else part for part in self.parts]
        known = [part for part in parts if part is not None and part.scale.size == 1]
        if len(known) < len(parts) or len({(float(part.scale[0]), part.zero) for part in known}) > 1:
            return None
        value = self.place(tuple(part.value for part in known))
        return replace(known[0], value=value, rest=None, wide=any(part.wide for part in known))


@dataclass(frozen=True, eq=False)
class Pieces:
    """A value cut along an axis (counted without the batch) in parts, each (start, stop).   drops: the axis goes."""

    value: Real | Moved
    axis: int
    cuts: tuple[tuple[int, int], ...]
    drops: bool = False


@dataclass(frozen=True, eq=False)
class Several:
    """The results of a call, of which others pick."""

    parts: tuple[Lowered, ...]


@dataclass(frozen=True, eq=False)
class Stacked:
    """Values of one grid that stand one behind the other in front of the batch; here along the first axis behind it."""

    value: Real


Axes: TypeAlias = tuple[tuple[int | None, ...], ...]
"""Of each axis the sizes of its parts, None for the batch."""


@dataclass(frozen=True, eq=False)
class Laid:
    """A value whose batch is not its first axis.   value: the parts of one sample, axis by axis, the batch in front."""

    value: Lowered
    axes: Axes


@dataclass(frozen=True, eq=False)
class Limited:
    """A value held between limits, which the grid that reads it holds its integers between.

    least: a real number, or None.   most: real numbers that broadcast against the value without the batch, or None.
    """

    value: Real | Sum | Quotient | Curve | Moved
    least: float | None
    most: Floats | None


@dataclass(frozen=True, eq=False)
class Input:
    """A model input that no grid has read yet."""

    shape: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Codes:
    """A constant on a grid: real = scale * (integers - zero), scale (1,) or along `axis`."""

    integers: Integers
    scale: Floats
    zero: int
    axis: int = 0


Unrounded: TypeAlias = Sum | Quotient | Curve | Moved | Limited
"""What only a grid can read."""
Lowered: TypeAlias = Real | Unrounded | Pieces | Several | Stacked | Laid | Input | Codes | Floats
"""What a node of the graph becomes: integers, or a constant of the graph that integers will be made of."""


def significand(scale: Floats) -> tuple[Integers, Integers]:
    """(M, s) with M * 2^-s = float32(scale), 2^23 <= M < 2^24, 1 <= s <= 62, elementwise. scale: positive.

    A scale below 2^-39 takes a 32-bit accumulator to 0 whatever its digits, so its shift stays at 62.
    Raises Unsupported for a scale of 2^23 or more, or one that is not finite and positive.
    """
    single = np.asarray(scale, dtype=np.float32).astype(np.float64)
    if not (np.isfinite(single).all() and (np.asarray(scale) > 0).all()):
        raise Unsupported("a scale is not a positive number", fix="calibrate the activations on real data first")
    mantissa, exponent = np.frexp(single)
    multiplier = (mantissa * 2**24).astype(np.int64)
    shift = 24 - exponent.astype(np.int64)
    if (shift < 1).any():
        raise Unsupported(
            f"a ratio of scales is {float(single.max()):g}", why="a requantization multiplier must be below 2^23"
        )
    tiny = (shift > 62) | (multiplier == 0)
    return np.where(tiny, 2**23, multiplier), np.where(tiny, 62, shift)


def port(real: Real, where: str) -> Port:
    """The boundary value of the program for a value on one scale."""
    if real.scale.size > 1:
        raise Unsupported("an output has one scale a channel", where=where, fix="put a grid on the model's outputs")
    multiplier, shift = significand(real.scale)
    return Port(real.value, int(multiplier[0]), int(shift[0]), real.zero)
