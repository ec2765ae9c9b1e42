"""Gamma code around a centre: for short vectors of integers whose sizes differ, such as biases.

u8           order, 0..63, of the gamma code; 64 more where the integers are multiples of a power of two
u8           in that case, shift, 1..63: all are multiples of 2**shift; else nothing
signed       the centre, shifted too
bits         zigzag of (value >> shift) - centre (modulo 2**64, so any value has one) in the gamma code of
             `backends/bits.py`; zeros fill up the last byte
"""

from __future__ import annotations

import math

import numpy as np

from .. import bits
from ..codec import Codec, Words
from ..wire import Cursor, FileError, signed

_SHIFTED = 64
LONGEST = 16
"""Bytes of the longest integer: 64 zeros, a one, and 63 low bits. What is longer by little is told by what is wrong."""


def _encode(tensor: Words) -> bytes:
    values = tensor.reshape(-1)
    middle = int(np.partition(values, values.size // 2)[values.size // 2]) if values.size else 0
    shifts = sorted({0, _common_shift(values)})
    return min(
        (_around(values >> shift, centre >> shift, shift) for shift in shifts for centre in (0, middle)), key=len
    )


def _common_shift(values: Words) -> int:
    """How often all of the values can be halved; 0 if all are zero."""
    seen = int(np.bitwise_or.reduce(values, initial=0))
    return (seen & -seen).bit_length() - 1 if seen else 0


def _around(values: Words, centre: int, shift: int) -> bytes:
    distances = (values.view(np.uint64) - np.uint64(centre % 2**64)).view(np.int64)
    folded = bits.zigzag(distances)
    order = bits.gamma_order(folded)
    head = bytes([order | _SHIFTED, shift]) if shift else bytes([order])
    return head + signed(centre) + bits.pack(bits.gamma(folded, order))


def _decode(data: bytes | memoryview, shape: tuple[int, ...]) -> Words:
    count = math.prod(shape)
    cursor = Cursor(data)
    order, shift = cursor.byte(), 0
    if order & _SHIFTED:
        order, shift = order ^ _SHIFTED, cursor.byte()
        if not 1 <= shift <= 63:
            raise FileError(f"the shift is {shift}, not 1 to 63", offset=1)
    if order > 63:
        raise FileError(f"the order is {order}, more than 63", offset=0)
    centre = cursor.signed("the centre")
    if cursor.left > LONGEST * (count + 1):
        raise FileError("bytes are left over after the last integer", offset=cursor.offset + LONGEST * (count + 1))
    found = bits.unpack(cursor.take(cursor.left))
    folded, used = bits.from_gamma(found, count, order)
    bits.check_padding(found, used)
    return (bits.from_zigzag(folded) + np.uint64(centre % 2**64)).view(np.int64).reshape(shape) << shift


CODEC = Codec(code=1, encode=_encode, decode=_decode)
