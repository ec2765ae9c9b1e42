"""Fixed-width bit packing above the least value: for any integers, and two or three bytes when all are equal.

u8           width, 0..64: bits of an integer
signed       the least value
bits         value - least, `width` bits each, least significant first; zeros fill up the last byte
"""

from __future__ import annotations

import math

import numpy as np

from .. import bits
from ..codec import Codec, Words
from ..wire import Cursor, FileError, signed

_CHUNK = 2**16  # values at a time: a multiple of 8, so that every chunk begins on a byte; bounds the memory
_MOST = 2**63 - 1


def _encode(tensor: Words) -> bytes:
    values = tensor.reshape(-1)
    least, most = (int(values.min()), int(values.max())) if values.size else (0, 0)
    width = (most - least).bit_length()
    offsets = values.view(np.uint64) - np.uint64(least % 2**64)
    chunks = (offsets[at : at + _CHUNK] for at in range(0, values.size if width else 0, _CHUNK))
    return b"".join([bytes([width]), signed(least), *(bits.pack(bits.fields(chunk, width)) for chunk in chunks)])


def _decode(data: bytes | memoryview, shape: tuple[int, ...]) -> Words:
    count = math.prod(shape)
    cursor = Cursor(data)
    width, least = cursor.byte(), cursor.signed("the least value")
    if width > 64:
        raise FileError(f"the width is {width}, more than 64", offset=0)
    body = cursor.take((count * width + 7) // 8)
    cursor.finish()
    values = np.full(count, least, dtype=np.int64)
    for at in range(0, count if width else 0, _CHUNK):
        values[at : at + _CHUNK] = _chunk(body[at * width // 8 :], min(_CHUNK, count - at), width, least)
    return values.reshape(shape)


def _chunk(body: memoryview, count: int, width: int, least: int) -> Words:
    found = bits.unpack(body[: (count * width + 7) // 8])
    bits.check_padding(found, count * width)
    offsets = bits.from_fields(found[: count * width], width)
    if least + int(offsets.max()) > _MOST:
        raise FileError("a value needs more than 64 bits", offset=0)
    return (offsets + np.uint64(least % 2**64)).view(np.int64)


CODEC = Codec(code=0, encode=_encode, decode=_decode)
