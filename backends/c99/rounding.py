"""floor(sum / 2^shift) in C99 without a shift of negative numbers: exact, and a form that compilers vectorise.

    (t >> s) + zero = ((t + B) >> s) - K      B a multiple of 2^s with t + B >= 0 for all t, K = B / 2^s - zero

t + B is summed modulo 2^32 or 2^64 in unsigned integers, where it fits. Shifts of channels that differ are made alike
by shifting their multipliers, as long as these fit 32 bits; common powers of two are divided out first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np

from ..fixed.types import INT32, Range
from .body import Body
from .integers import LONG, WORD, literal, plus

Vector: TypeAlias = np.ndarray[Any, Any]
"""Python integers, one for each channel."""
WIDE = Range(-(2**62), 2**62 - 1)


@dataclass(frozen=True)
class Rounding:
    """clamp(((sum of x_i * factors_i + added) >> shifts) + zero, lo, hi), each vector as long as there are channels."""

    ranges: tuple[Range, ...]
    factors: tuple[Vector, ...]
    added: Vector
    shifts: Vector
    zero: int
    lo: int
    hi: int

    @staticmethod
    def of(ranges: Sequence[Range], factors: Sequence[Any], added: Any, shifts: Any, bounds: Any) -> Rounding:
        """The same from numbers or arrays. bounds: what has zero, lo and hi."""
        spread = np.broadcast_arrays(
            *(np.atleast_1d(np.array(each, dtype=object)) for each in (*factors, added, shifts))
        )
        *products, rest, shift = spread
        whole = Rounding(tuple(ranges), tuple(products), rest, shift, int(bounds.zero), int(bounds.lo), int(bounds.hi))
        return _alike(_reduced(whole))

    @property
    def ends(self) -> tuple[Vector, Vector]:
        """The least and the greatest sum of each channel."""
        low = high = self.added
        for x, factor in zip(self.ranges, self.factors, strict=True):
            low = low + np.minimum(factor * x.lo, factor * x.hi)
            high = high + np.maximum(factor * x.lo, factor * x.hi)
        return low, high

    @property
    def before(self) -> Range:
        """What lies there before it saturates."""
        low, high = (ends >> self.shifts for ends in self.ends)
        return Range(min(low) + self.zero, max(high) + self.zero)


def rounded(rounding: Rounding, given: Sequence[str], body: Body, index: str) -> list[str]:
    """Statements that leave the result in `v`. given: the expressions of the x_i.   index: of the channel."""
    units = positive(rounding)
    start = units << rounding.shifts
    most = rounding.ends[1] + start
    offset = units - rounding.zero
    narrow = in_words(rounding, units)
    total = _sum(rounding, start, given, body, index, narrow)
    shifted = f"(({total}) >> {body.constant('shift', rounding.shifts, index)})"
    before = rounding.before
    type = WORD if max(most >> rounding.shifts) in INT32 and Range.of(offset) in INT32 and before in INT32 else LONG
    moved = body.constant("base", offset, index, type)
    moved = plus(-int(offset[0])) if len(set(offset)) == 1 else f" - {moved}"
    if type is WORD:
        return [f"v = (int32_t){shifted}{moved};", *clamped("v", before, rounding.lo, rounding.hi)]
    lines = [f"int64_t t = (int64_t){shifted}{moved};", *clamped("t", before, rounding.lo, rounding.hi)]
    return ["{", *(f"    {line}" for line in lines), "    v = (int32_t)t;", "}"]


def clamped(name: str, before: Range, lo: int, hi: int) -> list[str]:
    """The statement that saturates what lies in `before`; none where nothing can be outside."""
    tests = [f"{name} < {literal(lo)} ? {literal(lo)} : "] if before.lo < lo else []
    tests += [f"{name} > {literal(hi)} ? {literal(hi)} : "] if before.hi > hi else []
    return [f"{name} = {''.join(tests)}{name};"] if tests else []


def _sum(rounding: Rounding, start: Vector, given: Sequence[str], body: Body, index: str, narrow: bool) -> str:
    """The sum in unsigned integers, modulo 2^32 or 2^64."""
    terms = []
    for expression, factors in zip(given, rounding.factors, strict=True):
        factor = body.constant("factor", factors, index, WORD)
        product = (
            f"(uint32_t){expression} * (uint32_t){factor}"
            if narrow
            else f"(uint64_t)((int64_t){expression} * {factor})"
        )
        terms.append(product)
    added = modular(rounding.added + start, 32 if narrow else 64)
    cast = "uint32_t" if narrow else "uint64_t"
    if any(added):
        terms.append(f"({cast}){body.constant('added', added, index, WORD if narrow else LONG)}")
    return " + ".join(terms)


def positive(rounding: Rounding) -> Vector:
    """The multiples of 2^shift that make each sum positive; one for all channels where their shifts are the same: the
    next power of two, so that layers of one shape are one function, unless sums then need more than 32 bits. They
    never need more than 64: without it they are within 62."""
    needed = np.maximum(-(rounding.ends[0] >> rounding.shifts), 0)
    if len(set(rounding.shifts)) > 1:
        return needed
    exact, power = max(needed), 1 << int(max(needed)).bit_length()
    within = [in_words(rounding, units) for units in (exact, power)]
    return np.full_like(needed, power if exact and within[0] == within[1] else exact)


def in_words(rounding: Rounding, units: Any) -> bool:
    """Whether 32 bits without a sign hold each sum, made positive by so many multiples of 2^shift, and its shift."""
    return bool(max(rounding.ends[1] + (units << rounding.shifts)) < 2**32 and max(rounding.shifts) < 32)


def _reduced(rounding: Rounding) -> Rounding:
    """Without the powers of two that a channel's multipliers have in common: floors compose, so what is added may lose
    its lower bits. A shift of at least 1 stays."""
    pairs = zip(rounding.shifts, *rounding.factors, strict=True)
    spare = np.array([min(shift - 1, *map(_twos, factors)) for shift, *factors in pairs], object)
    factors = tuple(factor >> spare for factor in rounding.factors)
    return replace(rounding, factors=factors, added=rounding.added >> spare, shifts=rounding.shifts - spare)


def _alike(rounding: Rounding) -> Rounding:
    """With one shift for all channels, if the multipliers then still fit 32 bits."""
    more = max(rounding.shifts) - rounding.shifts
    factors = tuple(factor << more for factor in rounding.factors)
    made = replace(rounding, factors=factors, added=rounding.added << more, shifts=rounding.shifts + more)
    low, high = made.ends
    fits = all(Range.of(factor) in INT32 for factor in factors) and Range(min(low), max(high)) in WIDE
    return made if fits else rounding


def _twos(number: int) -> int:
    return (number & -number).bit_length() - 1 if number else 64


def modular(numbers: Vector, bits: int) -> list[int]:
    """The same modulo 2^bits, as signed integers."""
    half = 1 << (bits - 1)
    return [(int(number) + half) % (1 << bits) - half for number in numbers]
