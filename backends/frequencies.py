"""Frequency tables for static entropy coding: counted, rounded to a power of two, written and read back.

u8           low half: precision p - 1; high half: left to the caller
varint       number of symbols - 1
signed       the least symbol
u8           order k of the frequencies' gamma code
bits         gamma code, order 0, of each symbol's distance from the one before it, less 1; then gamma code, order
             k, of the frequencies, where 0 stands for the most frequent symbol and means what is left of 2**p;
             zeros fill up the last byte
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from ..compiler.errors import Unsupported
from . import bits
from .codec import Words
from .wire import Cursor, FileError, signed, varint

SYMBOLS, SPREAD = 2**12, 2**16  # most symbols, and most distance between the least and the greatest
PRECISIONS = range(8, 17)  # those that the encoder tries; the decoder takes 1..16
_FRACTION = 20  # bits after the point of a cost; the zero of a sparse tensor costs a thousandth of a bit
_ROW = 9  # bytes that bound a symbol in the table: a gap and a frequency of at most 16 bits each, in order 0..15


@dataclass(frozen=True, eq=False)
class Table:
    """Symbols in ascending order; their frequencies are positive and sum to 2**precision."""

    precision: int
    symbols: Words
    frequencies: Words

    @property
    def starts(self) -> Words:
        """The first slot of each symbol."""
        return np.cumsum(self.frequencies) - self.frequencies

    def cost(self, counts: Words) -> int:
        """Whole bytes that entropy coding with this table takes, in integers alone so that all machines agree."""
        lengths = [(self.precision << _FRACTION) - _logarithm(int(f)) for f in self.frequencies]
        return sum(int(n) * length for n, length in zip(counts, lengths, strict=True)) >> _FRACTION + 3

    def write(self, high: int = 0) -> bytes:
        """The table as bytes, with `high` (0..15) in the spare half of its first byte."""
        shown = self.frequencies.copy()
        shown[shown.argmax()] = 0
        order = bits.gamma_order(shown.view(np.uint64))
        gaps = bits.gamma((np.diff(self.symbols) - 1).view(np.uint64), 0)
        head = bytes([self.precision - 1 | high << 4]) + varint(self.symbols.size - 1) + signed(int(self.symbols[0]))
        return head + bytes([order]) + bits.pack(np.concatenate([gaps, bits.gamma(shown.view(np.uint64), order)]))


def fit(values: Words) -> tuple[Table, Words]:
    """The table that makes table and data smallest, and each value's index in it. Raises Unsupported."""
    least, most = int(values.min()), int(values.max())
    if most - least >= SPREAD:
        raise Unsupported(f"integers from {least} to {most} are too far apart for a frequency table")
    counts = np.bincount(values - least)
    present = np.flatnonzero(counts)
    if present.size > SYMBOLS:
        raise Unsupported(f"{present.size} different integers are too many for a frequency table")
    counts, places = counts[present], np.cumsum(counts > 0) - 1
    tables = [Table(p, present + least, _round(counts, p)) for p in PRECISIONS if present.size <= 2**p]
    best = min(tables, key=lambda table: len(table.write()) + table.cost(counts))
    return best, places[values - least]


def read(cursor: Cursor) -> tuple[Table, int]:
    """A table, checked, and the spare half of its first byte."""
    high, low = divmod(cursor.byte(), 16)
    size = cursor.varint("the number of symbols", SYMBOLS - 1) + 1
    least, order = cursor.signed("the least symbol"), cursor.byte()
    if order > 15:
        raise FileError(f"the order is {order}, more than 15", offset=cursor.offset - 1)
    found = bits.unpack(cursor.peek(size * _ROW))
    gaps, first = bits.from_gamma(found, size - 1, 0)
    shown, second = bits.from_gamma(found[first:], size, order)
    used = (first + second + 7) // 8
    cursor.take(used)
    bits.check_padding(found[: 8 * used], first + second)
    return Table(low + 1, _symbols(least, gaps), _frequencies(shown, low + 1)), high


def _symbols(least: int, gaps: bits.Unsigned) -> Words:
    if gaps.size and int(gaps.max()) >= SPREAD:
        raise FileError("a symbol is too far from the one before it")
    steps = np.cumsum(np.concatenate([[0], gaps.astype(np.int64) + 1]))
    if not -(2**63) <= least <= 2**63 - 1 - int(steps[-1]) or int(steps[-1]) >= SPREAD:
        raise FileError("the symbols are too far apart")
    return steps + least


def _frequencies(shown: bits.Unsigned, precision: int) -> Words:
    rest = 2**precision - sum(map(int, shown))
    if rest <= 0 or np.count_nonzero(shown) != shown.size - 1:
        raise FileError(f"the frequencies do not sum to {2**precision}")
    return np.where(shown > 0, shown.astype(np.int64), rest)


def _round(counts: Words, precision: int) -> Words:
    """Positive frequencies that sum to 2**precision, near enough to proportional; integers only, ties to the first."""
    scale = 2**precision
    frequencies: Words = np.maximum(counts * scale // counts.sum(), 1)
    missing = scale - int(frequencies.sum())
    if missing > 0:
        gains = (counts << 20) // (2 * frequencies + 1)
        frequencies[np.argsort(-gains, kind="stable")[:missing]] += 1
    for _ in range(-missing):
        losses = (counts << 20) // (2 * frequencies - 1)
        frequencies[np.where(frequencies > 1, losses, np.iinfo(np.int64).max).argmin()] -= 1
    return frequencies


@functools.cache
def _logarithm(value: int) -> int:
    """log2(value), rounded down, in 2**-_FRACTION: by squaring, without a float."""
    found = value.bit_length() - 1
    mantissa = value << 62 - found
    for _ in range(_FRACTION):
        mantissa = mantissa * mantissa >> 62
        carry = mantissa >> 63
        found, mantissa = 2 * found + carry, mantissa >> carry
    return found
