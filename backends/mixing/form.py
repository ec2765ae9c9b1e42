"""The two forms of the coders, in C if it was compiled at installation, and in plain Python: the same bytes."""

from __future__ import annotations

import functools
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple
from typing import TypeVar

from ...compiler.extension import extension
from ..codec import Words
from . import plain
from .settings import Grid, Settings

Result = TypeVar("Result")
SLOW = 2**19
"""Integers that plain Python takes a quarter of a minute and more for."""
FEW = 2**13
"""Integers that are coded sooner than threads begin: a millisecond's."""
INTERFACE = 2
"""What `_native` must be: one that was compiled from other sources would take other arguments and write other bytes."""
NATIVE, STALE = extension(f"{__package__}._native", INTERFACE)


def encode(values: Words, level: int, settings: Settings, grid: Grid) -> bytes:
    """The bytes of one stripe.   values: its integers less the centre, row by row.   level: one of `settings`."""
    if NATIVE is None:
        return plain.encode(values, level, settings, grid)
    data: bytes = NATIVE.encode(values, level, settings.write()[:3], *astuple(grid))
    return data


def decode(data: bytes | memoryview, level: int, settings: Settings, grid: Grid, out: Words) -> bool:
    """Put the integers of one stripe into `out`; return whether the bytes are those that an encoder writes."""
    if NATIVE is None:
        return plain.decode(data, level, settings, grid, out)
    return bool(NATIVE.decode(data, level, settings.write()[:3], *astuple(grid), out))


def rans(data: bytes | memoryview, out: Words) -> bool:
    """Put the integers of a stream of `rans` into `out`, if the form in C is there and takes the bytes for legal."""
    read = getattr(NATIVE, "rans", None)  # extensions of before rans lack it, and are right in all else
    return read is not None and bool(read(data, out))


@functools.cache
def _warn_of_other_sources() -> None:
    fix = "install lowbit again, with `pip install`, in the same way as it was"
    warnings.warn(f"the compiled coders were made from other sources and stay unused: {fix}", stacklevel=4)


def warn(size: int) -> None:
    """Say once that the form in C does not fit, and each time that coding `size` integers will take long.

    The bytes never depend on the form that wrote them.
    """
    if STALE:
        _warn_of_other_sources()
    if NATIVE is None and size > SLOW:
        fix = "install lowbit, again if it was, where there is a C compiler, or write the file with the coder rans"
        warnings.warn(f"coding {size} integers in plain Python takes minutes; {fix}", stacklevel=2)


def each(task: Callable[[int], Result], sizes: Sequence[int]) -> Iterator[Result]:
    """The results of task(0), task(1), ... in order, at once where the form is one that threads can share.

    sizes: how many integers each of them codes.
    """
    threads = os.cpu_count() or 1
    if NATIVE is None or 1 in (threads, len(sizes)) or sum(sizes) < FEW:
        yield from map(task, range(len(sizes)))
        return
    with ThreadPoolExecutor(threads) as pool:
        yield from pool.map(task, range(len(sizes)))
