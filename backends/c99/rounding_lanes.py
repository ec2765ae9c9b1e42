"""The same rounding in AVX2, eight elements at a time.

Where 32 bits hold every sum, as `rounding` does it. Else in 64 bits, even and odd elements apart: there is no shift of
64 bits that keeps the sign, so multipliers and shifts are raised until the shift is at least 32; then the upper half of
each sum is shifted on, since floors compose.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ..fixed.types import INT32, Range
from .body import Body
from .integers import literal
from .lanes import clamped, constant, constants
from .rounding import WIDE, Rounding, modular, positive


def rounded(rounding: Rounding, given: Sequence[str], body: Body, index: str) -> list[str] | None:
    """Statements that leave the result in `v`, or None where they would not fit.

    given: the expressions of the x_i, eight integers each.   index: of the first one's channel.
    """
    if rounding.before not in INT32:
        return None
    lines = _narrow(rounding, given, body, index) or _wide(rounding, given, body, index)
    return lines and lines + clamped(rounding.before, rounding.lo, rounding.hi)


def _narrow(rounding: Rounding, given: Sequence[str], body: Body, index: str) -> list[str] | None:
    units = positive(rounding)
    start = units << rounding.shifts
    if max(rounding.ends[1] + start) >= 2**32 or max(rounding.shifts) >= 32:
        return None
    if Range.of(units - rounding.zero) not in INT32:
        return None
    lines = [f"__m256i t = {constant(body, 'added', modular(rounding.added + start, 32), index)};"]
    for x, factors in zip(given, rounding.factors, strict=True):
        factor = constant(body, "factor", modular(factors, 32), index)
        lines.append(f"t = _mm256_add_epi32(t, _mm256_mullo_epi32({x}, {factor}));")
    lines += [
        f"t = _mm256_srlv_epi32(t, {constant(body, 'shift', rounding.shifts, index)});",
        f"v = _mm256_sub_epi32(t, {constant(body, 'base', units - rounding.zero, index)});",
    ]
    return ["{", *(f"    {line}" for line in lines), "}"]


def _wide(rounding: Rounding, given: Sequence[str], body: Body, index: str) -> list[str] | None:
    raised = _raised(rounding)
    low, high = raised.ends
    if not all(Range.of(factor) in INT32 for factor in raised.factors) or Range(min(low), max(high)) not in WIDE:
        return None
    even, odd = constants(body, "added", raised.added, index)
    lines = [f"__m256i x, f, even = {even}, odd = {odd};"]
    for expression, factors in zip(given, raised.factors, strict=True):
        lines += [
            f"x = {expression};",
            f"f = {constant(body, 'factor', factors, index)};",
            "even = _mm256_add_epi64(even, _mm256_mul_epi32(x, f));",
            "odd = _mm256_add_epi64(odd, _mm256_mul_epi32(_mm256_srli_epi64(x, 32), _mm256_srli_epi64(f, 32)));",
        ]
    lines += [
        "v = _mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, 0xaa);",
        f"v = _mm256_srav_epi32(v, {constant(body, 'shift', raised.shifts - 32, index)});",
    ]
    if rounding.zero:
        lines.append(f"v = _mm256_add_epi32(v, _mm256_set1_epi32({literal(rounding.zero)}));")
    return ["{", *(f"    {line}" for line in lines), "}"]


def _raised(rounding: Rounding) -> Rounding:
    """With shifts of at least 32."""
    more = np.maximum(32 - rounding.shifts, 0)
    factors = tuple(factor << more for factor in rounding.factors)
    return replace(rounding, factors=factors, added=rounding.added << more, shifts=rounding.shifts + more)
