"""The numbers of the context mixer: logit and its inverse in integers, and how fast an estimate moves.

Probabilities are in 2**-16, logits in 1/256. docs/format.md prints the two lists; both forms of the coder use them.
"""

from __future__ import annotations

import functools

LOGARITHM = [
    0, 126, 248, 367, 482, 595, 704, 810, 914, 1015, 1114, 1210, 1304, 1396, 1486, 1575, 1661, 1745, 1828, 1909, 1989,
    2067, 2143, 2218, 2292, 2365, 2436, 2506, 2575, 2642, 2709, 2775, 2839,
]  # fmt: skip
"""4096 * ln(1 + i / 32)"""

LOGISTIC = [
    1, 1, 1, 1, 1, 1, 2, 2, 3, 4, 5, 6, 8, 10, 13, 17, 22, 28, 36, 47, 60, 77, 98, 126, 162, 208, 267, 342, 439, 562,
    720, 922, 1179, 1506, 1921, 2446, 3108, 3938, 4971, 6249, 7812, 9702, 11955, 14595, 17625, 21025, 24743, 28693,
    32768,
]  # fmt: skip
"""65536 / (1 + exp(-x / 4)) for x = -48..0, at least 1; above 0 it is 65536 less its mirror image."""

LIMIT = 3072
"""Logits are in -LIMIT..LIMIT - 1."""


@functools.cache
def logits() -> list[int]:
    """The logit of every probability 0..65535; in the middle of the range one for sixteen neighbours."""
    return [_logit((p & ~15 | 8) if 256 <= p < 65280 else max(p, 1)) for p in range(65536)]


@functools.cache
def logistics() -> list[int]:
    """The probability, 1..65535, of every logit, that of -LIMIT first."""
    return [_logistic(u) for u in range(2 * LIMIT)]


@functools.cache
def steps() -> list[int]:
    """2**16 times the share of its error by which an estimate moves that has seen n bits, n = 0..1023."""
    return [131072 // (2 * n + 3) for n in range(1024)]


def _logit(p: int) -> int:
    return (_ln(p) - _ln(65536 - p)) >> 4


def _ln(p: int) -> int:
    exponent = p.bit_length() - 1
    index, part = divmod((p << 15 - exponent if exponent < 16 else p >> 1) & 32767, 1024)
    return exponent * LOGARITHM[32] + ((LOGARITHM[index] * (1024 - part) + LOGARITHM[index + 1] * part) >> 10)


def _logistic(u: int) -> int:
    index, part = divmod(u, 64)
    between = (_knot(index) * (64 - part) + _knot(index + 1) * part + 32) >> 6
    return min(max(between, 1), 65535)


def _knot(index: int) -> int:
    return LOGISTIC[index] if index <= 48 else 65536 - LOGISTIC[96 - index]
