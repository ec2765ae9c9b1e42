"""What numpy and torch spell differently, and the parts of arrays that stay in a core's cache."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from ..compiler.arrays import Integers

BLOCK = 2**17
"""Elements that are computed with at once, so that several calls over them find them in the cache."""


@dataclass(frozen=True)
class Arrays:
    """What numpy and torch spell differently. dtypes are named "int32", "int64", "float32", "float64".

    empty: for what is written whole before it is read.   add_product_: y += a b, which broadcast.
    clip_: to both bounds, in place; the array itself.
    """

    full: Callable[[tuple[int, ...], int, str], Any]
    empty: Callable[[tuple[int, ...], str], Any]
    cast: Callable[[Any, str], Any]
    load: Callable[[Integers, str], Any]
    maximum: Callable[[Any, Any], Any]
    permute: Callable[[Any, tuple[int, ...]], Any]
    add_product_: Callable[[Any, Any, Any], Any]
    clip_: Callable[[Any, int, int], Any]


def blocks(outer: int, channels: int, inner: int) -> Iterator[tuple[slice, slice]]:
    """Parts of an array (outer, channels, inner) of about BLOCK elements each, along its first two axes."""
    whole = max(1, BLOCK // (channels * inner))
    some = channels if whole > 1 else max(1, BLOCK // inner)
    for first in range(0, outer, whole):
        for channel in range(0, channels, some):
            yield slice(first, first + whole), slice(channel, channel + some)


def runs(size: int, wide: int) -> Iterator[slice]:
    """Parts of an axis of that size, which go along an axis of size `wide`, of about BLOCK elements each."""
    length = max(1, BLOCK // wide)
    return (slice(start, start + length) for start in range(0, size, length))
