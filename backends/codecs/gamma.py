"""Gamma code around a centre: for short vectors of integers whose sizes differ, such as biases.

u8           order, 0..63, of the gamma code
signed       the centre
bits         zigzag of value - centre (modulo 2**64, so any value has one) in the gamma code of `backends/bits.py`;
             zeros fill up the last byte
"""

from __future__ import annotations

import math

import numpy as np

from .. import bits
from ..codec import Codec, Words
from ..wire import Cursor, FileError, signed


def _encode(tensor: Words) -> bytes:
    values = tensor.reshape(-1)
    middle = int(np.partition(values, values.size // 2)[values.size // 2]) if values.size else 0
    return min((_around(values, centre) for centre in (0, middle)), key=len)


def _around(values: Words, centre: int) -> bytes:
    distances = (values.view(np.uint64) - np.uint64(centre % 2**64)).view(np.int64)
    folded = (distances << 1 ^ distances >> 63).view(np.uint64)
    order = bits.gamma_order(folded)
    return bytes([order]) + signed(centre) + bits.pack(bits.gamma(folded, order))


def _decode(data: bytes | memoryview, shape: tuple[int, ...]) -> Words:
    count = math.prod(shape)
    cursor = Cursor(data)
    order, centre = cursor.byte(), cursor.signed("the centre")
    if order > 63:
        raise FileError(f"the order is {order}, more than 63", offset=0)
    found = bits.unpack(cursor.take(cursor.left))
    folded, used = bits.from_gamma(found, count, order)
    bits.check_padding(found, used)
    distances = (folded >> np.uint64(1)) ^ -(folded & np.uint64(1))
    return (distances + np.uint64(centre % 2**64)).view(np.int64).reshape(shape)


CODEC = Codec(code=1, encode=_encode, decode=_decode)
