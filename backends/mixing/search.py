"""The settings that make a stream small, found by trying: one setting after the other, up and down, on the first rows.

They are searched for at the lite level and serve the level above too. What is chosen depends on the integers alone.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from ..codec import Words
from . import form
from .settings import LITE, MAX, MEMORIES, OLDER_LITE, OLDER_MAX, RATES, Grid, Settings, first

SAMPLE = 2**15
"""Integers of the first rows, one row at least, on which settings are tried."""
_CHEAP = {LITE: LITE, MAX: LITE, OLDER_LITE: OLDER_LITE, OLDER_MAX: OLDER_LITE}
_AXES = {"rows": 2, "signs": 2, "rate": len(RATES), "memory": len(MEMORIES)}


def settings_of(centred: Words, grid: Grid, centre: int, level: int = LITE) -> Settings:
    """The settings for integers less their centre."""
    rows = min(max(SAMPLE // grid.columns, 1), grid.rows)
    return _found(
        centred[: rows * grid.columns].tobytes(), replace(grid, rows=rows), first(centred, centre), _CHEAP[level]
    )


@functools.lru_cache(maxsize=4)  # both levels ask, one after the other
def _found(sample: bytes, grid: Grid, start: Settings, level: int) -> Settings:
    values = np.frombuffer(sample, dtype=np.int64)
    empty = not values.reshape(grid.rows, grid.columns).any(axis=1).all()
    best = start
    for axis in _AXES if empty else [name for name in _AXES if name != "rows"]:
        best = _along(axis, best, lambda settings: len(form.encode(values, level, settings, grid)))
    return best


def _along(axis: str, start: Settings, cost: Callable[[Settings], int]) -> Settings:
    best, least = start, cost(start)
    for step in (1, -1):
        while 0 <= (value := getattr(best, axis) + step) < _AXES[axis]:
            tried = replace(best, **{axis: value})
            if (size := cost(tried)) >= least:
                break
            best, least = tried, size
        if best != start:
            break
    return best
