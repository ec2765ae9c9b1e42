"""Codec, the one record of a way to write integers as bytes, and the choice of the smallest for a tensor."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..compiler.errors import Broken, Unsupported, UserError
from ..compiler.registry import members

Words = NDArray[np.int64]
PACKAGE = f"{__package__}.codecs"


@dataclass(frozen=True)
class Codec:
    """A lossless code for one tensor's integers. The file's docstring holds its exact byte layout.

    code: its number in a `.lowbit` file, never reused; the higher, the more it asks of who decodes it.
    encode: int64 array of any shape -> bytes, the same on every machine; raises Unsupported for integers that it cannot
    write.   decode: (bytes, shape) -> the array; raises wire.FileError unless the bytes are legal and used up. The
    caller has capped the number of integers before.   written: whether files are still written with it; all are read.
    """

    code: int
    encode: Callable[[Words], bytes]
    decode: Callable[[bytes | memoryview, tuple[int, ...]], Words]
    written: bool = True


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


def smallest(values: Words, coder: str | None = None) -> tuple[Codec, bytes]:
    """The codec that writes the fewest bytes, and those bytes; of equals, the one with the lowest number.

    coder: the codec with the highest number that may be used; any if None. Raises UserError if there is none so named.
    """
    tried = [(codec, data) for codec in _up_to(coder) if (data := _attempt(codec, values)) is not None]
    return min(tried, key=lambda pair: len(pair[1]))


def written() -> list[str]:
    """The names of the codecs that files are written with, the least demanding first."""
    return [name for name in names_by_code().values() if codecs()[name].written]


def _up_to(coder: str | None) -> Iterator[Codec]:
    names = written()
    if coder is not None and coder not in names:
        raise UserError(f"there is no coder '{coder}' to write with", fix=f"name one of {', '.join(names)}")
    for name in names:
        yield codecs()[name]
        if name == coder:
            return


def _attempt(codec: Codec, values: Words) -> bytes | None:
    try:
        return codec.encode(values)
    except Unsupported:
        return None
