"""A tensor's integers as the bytes of a codec of context mixing, and back: settings, then stripes of rows."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import numpy as np

from ...compiler.errors import Unsupported
from ..codec import Codec, Words
from ..wire import Cursor, FileError, varint
from . import form, search, settings
from .settings import BITS, Grid


def codec(code: int, level: int, *, most: int | None = None, written: bool = True) -> Codec:
    """The codec of a level.   code: its number in files.   level: one of `settings`.   most: integers of a tensor."""

    def write(values: Words) -> bytes:
        if most is not None and values.size > most:
            raise Unsupported(f"a tensor of {values.size} integers is left to the faster level")
        return encode(values, level)

    return Codec(code, write, functools.partial(decode, level=level), written)


def encode(values: Words, level: int) -> bytes:
    """The stream of a tensor in its shape.   level: one of `settings`. Raises Unsupported where there is none."""
    centred, centre = _centred(values.reshape(-1))
    grid = Grid.of(values.shape)
    form.warn(values.size)
    chosen, stripes = search.settings_of(centred, grid, centre, level), grid.stripes()
    pieces = _split(centred, stripes)
    sizes = [piece.size for piece in pieces]
    streams = list(form.each(lambda at: form.encode(pieces[at], level, chosen, stripes[at]), sizes))
    return b"".join([chosen.write(), *(varint(len(stream)) for stream in streams[:-1]), *streams])


def decode(data: bytes | memoryview, shape: Sequence[int], level: int) -> Words:
    """The tensor in its shape. Raises FileError."""
    if not math.prod(shape):
        raise FileError("an empty tensor is not written in this way", offset=0)
    cursor, stripes = Cursor(data), Grid.of(shape).stripes()
    chosen = settings.read(cursor)
    sizes = [cursor.varint("the length of a stripe") for _ in stripes[1:]]
    streams = [cursor.take(size) for size in sizes] + [cursor.take(cursor.left)]
    form.warn(math.prod(shape))
    values = np.empty(shape, dtype=np.int64)
    pieces = _split(values.reshape(-1), stripes)
    sizes = [piece.size for piece in pieces]
    if not all(form.each(lambda at: form.decode(streams[at], level, chosen, stripes[at], pieces[at]), sizes)):
        raise FileError("a stripe is not what its integers are written as", offset=len(data))
    if chosen.centre:
        values += chosen.centre
    return values


def _split(flat: Words, stripes: Sequence[Grid]) -> list[Words]:
    ends = np.cumsum([stripe.rows * stripe.columns for stripe in stripes])
    return np.split(flat, ends[:-1])


def _centred(flat: Words) -> tuple[Words, int]:
    """The integers less their centre, which is 0 if they lie around it."""
    if not flat.size:
        raise Unsupported("an empty tensor has no statistics")
    least, most = int(flat.min()), int(flat.max())
    centre = 0 if least <= 0 <= most else int(np.partition(flat, flat.size // 2)[flat.size // 2])
    if max(most - centre, centre - least).bit_length() > BITS or abs(centre) >= settings.FAR:
        raise Unsupported(f"integers from {least} to {most} are too far apart or too large for context mixing")
    if least == most == centre:
        raise Unsupported("integers that are all equal have no statistics")
    return flat - centre, centre
