"""The same rounding for all lanes of a register at a time.

Where 32 bits hold every sum, as `rounding` does it. Else in 64 bits, even and odd elements apart: there is no shift of
64 bits that keeps the sign, so multipliers (or what they multiply) and shifts are raised until the shift is 32 or more;
then the upper half of each sum is shifted on, since floors compose.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ..fixed.types import INT32, Range
from .body import Body
from .lanes import clamped, constant, constants
from .registers import Register
from .rounding import WIDE, Rounding, in_words, modular, positive


def rounded(rounding: Rounding, given: Sequence[str], body: Body, index: str, register: Register) -> list[str] | None:
    """Statements that leave the result in `v`, or None where they would not fit.

    given: the expressions of the x_i.   index: of the first one's channel.
    """
    if rounding.before not in INT32:
        return None
    lines = _narrow(rounding, given, body, index, register) or _wide(rounding, given, body, index, register)
    return lines and lines + clamped(register, rounding.before, rounding.lo, rounding.hi)


def _narrow(rounding: Rounding, given: Sequence[str], body: Body, index: str, register: Register) -> list[str] | None:
    units = positive(rounding)
    start = units << rounding.shifts
    if not in_words(rounding, units) or Range.of(units - rounding.zero) not in INT32:
        return None
    call = register.call
    lines = [f"{register.type} t = {constant(register, body, 'added', modular(rounding.added + start, 32), index)};"]
    for x, factors in zip(given, rounding.factors, strict=True):
        factor = constant(register, body, "factor", modular(factors, 32), index)
        lines.append(f"t = {call('add_epi32', 't', call('mullo_epi32', x, factor))};")
    lines += [
        f"t = {call('srlv_epi32', 't', constant(register, body, 'shift', rounding.shifts, index))};",
        f"v = {call('sub_epi32', 't', constant(register, body, 'base', units - rounding.zero, index))};",
    ]
    return ["{", *(f"    {line}" for line in lines), "}"]


def _wide(rounding: Rounding, given: Sequence[str], body: Body, index: str, register: Register) -> list[str] | None:
    raised, lefts = _raised(rounding)
    low, high = raised.ends
    held = all(each in INT32 for each in (*raised.ranges, *map(Range.of, raised.factors)))
    if not held or Range(min(low), max(high)) not in WIDE:
        return None
    even, odd = constants(register, body, "added", raised.added, index)
    call = register.call
    lines = [f"{register.type} x, f, even = {even}, odd = {odd};"]
    for expression, left, factors in zip(given, lefts, raised.factors, strict=True):
        lines += [
            f"x = {call('slli_epi32', expression, str(left)) if left else expression};",
            f"f = {constant(register, body, 'factor', factors, index)};",
            f"even = {call('add_epi64', 'even', call('mul_epi32', 'x', 'f'))};",
            f"odd = {call('add_epi64', 'odd', call('mul_epi32', *(call('srli_epi64', each, '32') for each in 'xf')))};",
        ]
    lines += [
        f"v = {register.odd.format(call('srli_epi64', 'even', '32'), 'odd')};",
        f"v = {call('srav_epi32', 'v', constant(register, body, 'shift', raised.shifts - 32, index))};",
    ]
    if rounding.zero:
        lines.append(f"v = {call('add_epi32', 'v', register.every(rounding.zero))};")
    return ["{", *(f"    {line}" for line in lines), "}"]


def _raised(rounding: Rounding) -> tuple[Rounding, tuple[int, ...]]:
    """With shifts of at least 32, and how far each x_i is to be shifted left for that, where its factors cannot be."""
    more = np.maximum(32 - rounding.shifts, 0)
    alike = int(more[0]) if len(set(more)) == 1 else 0
    lefts = tuple(0 if Range.of(factor << more) in INT32 else alike for factor in rounding.factors)
    ranges = tuple(Range(x.lo << left, x.hi << left) for x, left in zip(rounding.ranges, lefts, strict=True))
    factors = tuple(factor << (more - left) for factor, left in zip(rounding.factors, lefts, strict=True))
    whole = replace(rounding, added=rounding.added << more, shifts=rounding.shifts + more)
    return replace(whole, ranges=ranges, factors=factors), lefts
