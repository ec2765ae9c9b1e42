"""Move, the record of an op that only puts elements elsewhere, and the copies it is made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from ...compiler.arrays import Integers
from ...compiler.registry import members
from ..fixed.op import Call
from .tensors import Order, Tensor, Wanted, follow

PACKAGE = f"{__package__}.moves"


@dataclass(frozen=True)
class Copy:
    """y[start + sum of i * to] = x[begin + sum of i * by], for all i below the sizes; x is the operand of that number.

    Axes are those of the output. places: for an axis, the index in x that each i stands for.
    """

    operand: int
    sizes: tuple[int, ...]
    to: tuple[int, ...]
    by: tuple[int, ...]
    start: int = 0
    begin: int = 0
    places: tuple[int, Integers] | None = None


@dataclass(frozen=True)
class Move:
    """An op that only puts elements elsewhere; the file's name is the op's.

    copies: (call, operands, output) -> what is copied.   fill: what stands where nothing is copied to, if such is.
    order: see `Wanted`.   renames: nothing moves at all, the output is the operand under other names.
    """

    copies: Callable[[Call, tuple[Tensor, ...], Tensor], list[Copy]] = lambda call, given, output: []
    fill: Callable[[Call], int | None] = lambda call: None
    order: Callable[[Call, tuple[Order, ...]], Wanted] = follow
    renames: bool = False


def moves() -> Mapping[str, Move]:
    """Every such op by name."""
    return members(PACKAGE, Move)


def along(strides: tuple[int, ...], indices: tuple[int, ...]) -> int:
    """Where the element of those indices lies."""
    return int(np.dot(strides, indices)) if strides else 0
