"""Strings of bits as arrays of 0 and 1: fixed-width fields, and the gamma code for integers of unknown size.

The gamma code of order k writes an unsigned 64-bit u of b bits as its class c = max(b - k, 0) in unary (c zeros and a
one) and as its low `k + max(c - 1, 0)` bits; for c > 0 the leading one is known and left out. All classes of a string
come first, then all low bits, so that both sides work on whole arrays. Bits fill bytes from the least significant.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .wire import FileError

Bits = NDArray[np.uint8]
Unsigned = NDArray[np.uint64]

_POWERS = np.left_shift(np.uint64(1), np.arange(64, dtype=np.uint64))
_ONE = np.uint64(1)
_BLOCK = 2**20


def pack(bits: Bits) -> bytes:
    """Bits to bytes, the last one filled up with zeros."""
    return np.packbits(bits, bitorder="little").tobytes()


def unpack(data: bytes | memoryview) -> Bits:
    """Bytes to bits."""
    return np.unpackbits(np.frombuffer(data, dtype=np.uint8), bitorder="little")


def check_padding(bits: Bits, used: int) -> None:
    """Raise unless only the zeros that fill up the last byte follow the first `used` bits."""
    if bits.size - used >= 8 or bits[used:].any():
        raise FileError("bits are left over after the last integer", offset=used // 8)


def fields(values: Unsigned, width: int) -> Bits:
    """Each value in `width` bits, least significant first."""
    size = (width + 7) // 8
    octets = values.astype("<u8").view(np.uint8).reshape(-1, 8)[:, :size]
    return np.unpackbits(octets, axis=1, bitorder="little")[:, :width].reshape(-1)


def from_fields(bits: Bits, width: int) -> Unsigned:
    """The inverse of `fields`; the number of bits is a multiple of `width`, which is not 0."""
    octets = np.packbits(bits.reshape(-1, width), axis=1, bitorder="little")
    whole = np.zeros((octets.shape[0], 8), dtype=np.uint8)
    whole[:, : octets.shape[1]] = octets
    return whole.reshape(-1).view("<u8").astype(np.uint64)


def zigzag(values: NDArray[np.int64]) -> Unsigned:
    """`wire.zigzag` of every integer of 64 bits."""
    return (values << 1 ^ values >> 63).view(np.uint64)


def from_zigzag(folded: Unsigned) -> Unsigned:
    """The inverse of `zigzag`, modulo 2**64."""
    return (folded >> _ONE) ^ -(folded & _ONE)


def gamma_order(values: Unsigned) -> int:
    """The order that writes `values` in the fewest bits, the least of equals."""
    histogram = np.bincount(_lengths(values), minlength=65)
    costs = [int(histogram @ _cost(np.arange(65), order)) for order in range(64)]
    return costs.index(min(costs))


def gamma(values: Unsigned, order: int) -> Bits:
    """The gamma code of order 0..63."""
    classes = np.maximum(_lengths(values) - order, 0)
    widths, ends = _widths(classes, order), np.cumsum(classes + 1)
    starts = np.cumsum(widths) - widths + (ends[-1] if values.size else 0)
    bits = np.zeros(int((classes + 1 + widths).sum()), dtype=np.uint8)
    bits[ends - 1] = 1
    for position in range(int(widths.max(initial=0))):
        reach = np.flatnonzero(widths > position)
        bits[starts[reach] + position] = values[reach] >> np.uint64(position) & _ONE
    return bits


def from_gamma(bits: Bits, count: int, order: int) -> tuple[Unsigned, int]:
    """The first `count` integers in `bits`, and the number of bits that they take."""
    ends = _ones(bits, count)
    if ends.size < count:
        raise FileError(f"{count} integers should follow, but only {ends.size} do", offset=bits.size // 8)
    classes = np.diff(ends, prepend=-1) - 1
    if classes.max(initial=0) > 64 - order:
        raise FileError("an integer has more than 64 bits", offset=0)
    widths = _widths(classes, order)
    starts = np.cumsum(widths) - widths + (int(ends[-1]) + 1 if count else 0)
    used = int((classes + 1 + widths).sum())
    if used > bits.size:
        raise FileError(f"{used} bits should follow, but only {bits.size} do", offset=bits.size // 8)
    return _low_bits(bits, starts, widths) | _leading(classes, widths), used


def _ones(bits: Bits, count: int) -> NDArray[np.int64]:
    """Where the first `count` ones are; what lies behind them costs no memory, whatever it is."""
    found, missing = [np.zeros(0, np.int64)], count
    for at in range(0, bits.size, _BLOCK):
        if not missing:
            break
        found.append(at + np.flatnonzero(bits[at : at + _BLOCK])[:missing])
        missing -= found[-1].size
    return np.concatenate(found)


def _low_bits(bits: Bits, starts: NDArray[np.int64], widths: NDArray[np.int64]) -> Unsigned:
    values = np.zeros(widths.size, dtype=np.uint64)
    for position in range(int(widths.max(initial=0))):
        reach = np.flatnonzero(widths > position)
        values[reach] |= bits[starts[reach] + position].astype(np.uint64) << np.uint64(position)
    return values


def _leading(classes: NDArray[np.int64], widths: NDArray[np.int64]) -> Unsigned:
    return np.where(classes > 0, _ONE << np.minimum(widths, 63).astype(np.uint64), np.uint64(0))


def _lengths(values: Unsigned) -> NDArray[np.int64]:
    """Bits of each value; a search, because a float logarithm is wrong near powers of two."""
    return np.searchsorted(_POWERS, values, side="right")


def _widths(classes: NDArray[np.int64], order: int) -> NDArray[np.int64]:
    return order + np.maximum(classes - 1, 0)


def _cost(lengths: NDArray[np.int64], order: int) -> NDArray[np.int64]:
    classes = np.maximum(lengths - order, 0)
    return classes + 1 + _widths(classes, order)
