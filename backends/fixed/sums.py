"""The proof that sums fit: exact bounds on weighted sums, and on every partial sum in any order."""

from __future__ import annotations

import weakref
from collections.abc import Iterable

import numpy as np

from ...compiler.arrays import Integers
from .types import Range

ZERO = Range(0, 0)
_CHUNK = 2**15  # weights at a time: what is computed of them stays in the cache


def scaled(x: Range, factor: int) -> Range:
    """The range of `factor * x`."""
    ends = (factor * x.lo, factor * x.hi)
    return Range(min(ends), max(ends))


def total(terms: Iterable[Range]) -> Range:
    """The range of a sum of independent terms."""
    listed = list(terms)
    return Range(sum(term.lo for term in listed), sum(term.hi for term in listed))


def partial(terms: Iterable[Range]) -> Range:
    """The hull of every partial sum of the terms, in any order.

    A partial sum is the sum of a subset, so it is lowest when it takes exactly the terms that can be negative.
    """
    return total(term | ZERO for term in terms)


def dot(weight: Integers, bias: Integers, x: Range) -> Range:
    """The range of `bias[o] + sum(weight[o] * x)` over all o, for x anywhere in its range; one x a weight."""
    return _dot(_signed_sums(weight), bias, x)


def _dot(sums: tuple[Integers, Integers], bias: Integers, x: Range) -> Range:
    ups, downs = sums
    lows = bias.astype(object) + ups * x.lo + downs * x.hi
    highs = bias.astype(object) + ups * x.hi + downs * x.lo
    return Range(min(lows), max(highs))


def partial_dot(weight: Integers, bias: Integers, x: Range) -> Range:
    """The hull of every partial sum of `bias[o] + sum(weight[o] * x)`, in any order and with any term left out."""
    # Leaving a term out is the same as letting its x be 0; the bias is one more term.
    sums = _signed_sums(weight)
    lows = _dot(sums, np.minimum(bias, 0), x | ZERO)
    highs = _dot(sums, np.maximum(bias, 0), x | ZERO)
    return Range(lows.lo, highs.hi)


_latest: list[tuple[weakref.ref[Integers], tuple[Integers, Integers]]] = []
"""The last constant summed, while it lives, and its sums: a step's C1 asks for them, and then its range."""


def _signed_sums(weight: Integers) -> tuple[Integers, Integers]:
    """For each output channel the sum of the positive and of the negative weights, as Python integers."""
    for constant, sums in _latest:
        if constant() is weight and not weight.flags.writeable:
            return sums
    sums = _summed(weight)
    _latest[:] = [(weakref.ref(weight), sums)]
    return sums


def _summed(weight: Integers) -> tuple[Integers, Integers]:
    # Weights are proven to fit 32 bits before this is asked, so int64 cannot overflow here.
    rows = weight.reshape(len(weight), -1)
    (ups, sums), step = np.zeros((2, len(rows)), dtype=np.int64), max(_CHUNK // max(rows.shape[1], 1), 1)
    for start in range(0, len(rows), step):
        part = rows[start : start + step]
        ups[start : start + step] = np.maximum(part, 0).sum(axis=1, dtype=np.int64)
        sums[start : start + step] = part.sum(axis=1, dtype=np.int64)
    return ups.astype(object), (sums - ups).astype(object)
