"""Intervals of integers: what a value of the fixed-point program is proven to hold."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...compiler.arrays import Integers


@dataclass(frozen=True, order=True)
class Range:
    """The closed interval [lo, hi] of integers, of any size."""

    lo: int
    hi: int

    def __post_init__(self) -> None:
        if self.lo > self.hi:
            raise ValueError(f"empty range [{self.lo}, {self.hi}]")

    def __contains__(self, other: object) -> bool:
        if isinstance(other, Range):
            return self.lo <= other.lo and other.hi <= self.hi
        return isinstance(other, (int, np.integer)) and self.lo <= int(other) <= self.hi

    def __or__(self, other: Range) -> Range:
        return Range(min(self.lo, other.lo), max(self.hi, other.hi))

    def clamp(self, lo: int, hi: int) -> Range:
        """The range of `clamp(x, lo, hi)` for x in this range."""
        return Range(min(max(self.lo, lo), hi), min(max(self.hi, lo), hi))

    @property
    def magnitude(self) -> int:
        """The largest absolute value held."""
        return max(abs(self.lo), abs(self.hi))

    @property
    def bits(self) -> int:
        """The least width of a two's complement register that holds the range."""
        return max(self.hi.bit_length(), (-self.lo - 1).bit_length() if self.lo < 0 else 0) + 1

    @staticmethod
    def of(values: Integers) -> Range:
        """The range of an array's values; an empty array holds [0, 0]."""
        return Range(int(values.min()), int(values.max())) if values.size else Range(0, 0)

    def __str__(self) -> str:
        return f"[{self.lo}, {self.hi}]"


INT32 = Range(-(2**31), 2**31 - 1)
