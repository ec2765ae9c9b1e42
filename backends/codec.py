"""Codec, the one record of a way to write integers as bytes, and the choice of the smallest for a tensor."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..compiler.errors import Broken, Unsupported
from ..compiler.registry import members

Words = NDArray[np.int64]
PACKAGE = f"{__package__}.codecs"


@dataclass(frozen=True)
class Codec:
    """A lossless code for one tensor's integers. The file's docstring holds its exact byte layout.

    code: its number in a `.lowbit` file, never reused.
    encode: one-dimensional int64 array -> bytes, the same on every machine; raises Unsupported for integers that it
    cannot write.   decode: (bytes, number of integers) -> the array; raises wire.FileError unless the bytes are legal
    and used up. The caller has capped the number before.
    """

    code: int
    encode: Callable[[Words], bytes]
    decode: Callable[[bytes | memoryview, int], Words]


def codecs() -> Mapping[str, Codec]:
    """Every codec by name."""
    return members(PACKAGE, Codec)


@functools.cache
def names_by_code() -> Mapping[int, str]:
    """Name of the codec behind each number used in a file, ascending. Raises Broken when two share a number."""
    table: dict[int, str] = {}
    for name, codec in sorted(codecs().items(), key=lambda item: item[1].code):
        if codec.code in table:
            raise Broken(f"codecs '{table[codec.code]}' and '{name}' share the file number {codec.code}")
        table[codec.code] = name
    return table


def smallest(values: Words) -> tuple[Codec, bytes]:
    """The codec that writes the fewest bytes, and those bytes; of equals, the one with the lowest number."""
    tried = [(codecs()[name], _attempt(codecs()[name], values)) for name in names_by_code().values()]
    fitting = [(codec, data) for codec, data in tried if data is not None]
    return min(fitting, key=lambda pair: len(pair[1]))


def _attempt(codec: Codec, values: Words) -> bytes | None:
    try:
        return codec.encode(values)
    except Unsupported:
        return None
