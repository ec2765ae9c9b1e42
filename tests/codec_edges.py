"""Tensors of integers at which codecs change their ways: what every codec is held to."""

from __future__ import annotations

import numpy as np
from lowbit.backends.codec import Words

LEAST, MOST = -(2**63), 2**63 - 1


def words(values: list[int] | Words) -> Words:
    return np.array(values, dtype=np.int64)


def draws(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def rows(count: int, width: int) -> Words:
    """Rows of different scales, the second one zero: what contexts are for."""
    scales = draws(5).integers(1, 12, (count, 1)) * (np.arange(count)[:, None] != 1)
    return words(np.rint(draws(6).normal(0, 0.2, (count, width)) * scales).astype(np.int64))


def sparse(size: int, zeros: float) -> Words:
    return words(np.where(draws(1).random(size) < zeros, 0, draws(2).integers(-3, 4, size)))


def bell(size: int, width: float, most: int) -> Words:
    return words(np.clip(np.rint(draws(3).normal(0, width, size)), -most - 1, most).astype(np.int64))


EDGES = {
    "empty": words([]),
    "zero": words([0]),
    "least": words([LEAST]),
    "most": words([MOST]),
    "extremes": words([LEAST, MOST, 0, -1, 1]),
    "both ends often": words([LEAST, MOST] * 20),
    "all equal": words([-7] * 1000),
    "powers of two": words([sign * 2**p for p in range(63) for sign in (1, -1)]),
    "around powers of two": words([2**p + d for p in range(62) for d in (-1, 0, 1)]),
    "one rare": words([0] * 70_000 + [5]),
    "one of each": words(np.arange(4096)),
    "two far apart": words([0, 65_535]),
    "many lanes": bell(50_003, 30, 127),
    "more than a chunk": words(draws(4).integers(-5, 6, 2**16 + 3)),
    "a scalar": np.array(-3),
    "no rows": words([]).reshape(0, 7),
    "no columns": words([]).reshape(4, 0, 3),
    "one row": rows(1, 50),
    "one column": rows(50, 1),
    "a row of zeros": rows(5, 40),
    "kernels": rows(4, 54).reshape(4, 6, 3, 3),
    "a kernel wider than the rest": rows(3, 16).reshape(3, 1, 16),
    "long integers": bell(300, 2**20, 2**24).reshape(10, 15, 2),
    "widest for context mixing": words([2**25 - 1, 0, 1 - 2**25]),
    "too wide for context mixing": words([2**25, 0]),
    "around a centre": words([2**40 + 3, 2**40 - 9, 2**40]),
    "multiples": words([2**9 * n for n in (-7, 3, 12, 40, -1, 5)]),
    "a centre too far": words([2**62 + 3, 2**62 + 9]),
}
