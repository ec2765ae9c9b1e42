"""What a stream of the context mixer says before its bits: three or four bytes of settings, and how a tensor is cut up.

u8           bit 0: signs are modelled; bit 1: rows begin with a bit that is 0 when all of them is zero; bits 2-3: rate;
             bits 4-5: memory; bit 6: a centre follows; bit 7: 0
u8           1..15: the greatest magnitude; 16..36: it has 5..25 bits
u8           low five bits: logit of the share of non-zeros, in halves from -10; high three: log2 of their mean size
signed       the centre, subtracted from every integer, if bit 6 says so; not 0
varint       for every stripe but the last, the bytes that it takes
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..codec import Words
from ..wire import Cursor, FileError, signed
from . import tables

UNARY = 15
"""Up to this greatest magnitude every step up is a decision; beyond it, the number of bits is told first."""
BITS = 25
"""The bits of the greatest magnitude that can be written."""
FAR = 2**62
"""Centres are nearer to 0."""
LITE, MAX, OLDER_LITE, OLDER_MAX = 3, 6, 4, 7
"""The levels, by how many contexts a decision has; the older two are those of files of before."""
STRIPE = 2**20
"""Words from which a tensor is cut into stripes of rows."""
RATES, OLDER_RATES, MEMORIES = (1, 3, 6, 12), (2, 4, 7, 12), (1000, 250, 60, 20)
"""How fast the mixing weights move, now and at the older levels; how many bits an estimate remembers."""


@dataclass(frozen=True)
class Grid:
    """A tensor as the model sees it: rows of columns, where `kernel` neighbouring columns belong to one channel.

    line: how many of those make a line of the kernel; all, where it has none.
    """

    rows: int
    columns: int
    kernel: int
    line: int

    @staticmethod
    def of(shape: Sequence[int]) -> Grid:
        """The first axis is the rows, the second the channels, the others the kernel; a vector is one row."""
        rows, kernel = shape[0] if len(shape) > 1 else 1, math.prod(shape[2:])
        line = shape[-1] if len(shape) > 3 and shape[-1] > 1 else kernel
        return Grid(rows, math.prod(shape) // max(rows, 1), kernel, line)

    def stripes(self) -> list[Grid]:
        """Runs of whole rows, as even as can be, of about STRIPE integers; each is coded as if it were alone."""
        count = min(-(-self.rows * self.columns // STRIPE), self.rows)
        ends = [self.rows * index // count for index in range(count + 1)]
        return [replace(self, rows=end - start) for start, end in itertools.pairwise(ends)]


@dataclass(frozen=True)
class Settings:
    """The first bytes of a stream.   most: the second byte.   share, mean: the parts of the third."""

    signs: int
    rows: int
    rate: int
    memory: int
    most: int
    share: int
    mean: int
    centre: int = 0

    @property
    def chance(self) -> int:
        """P(non-zero) to begin with, in 2**-16."""
        return tables.logistics()[128 * (self.share - 20) + tables.LIMIT]

    @property
    def energy(self) -> int:
        """The mean magnitude to begin with, in 2**-8."""
        return (self.chance << self.mean) >> 8

    @property
    def bits(self) -> int:
        """The bits of the greatest magnitude, where they are told first; else 0."""
        return self.most - UNARY + 4 if self.most > UNARY else 0

    @property
    def nodes(self) -> int:
        """How many kinds of decision make a magnitude."""
        return 4 * self.bits - 5 if self.bits else self.most

    def write(self) -> bytes:
        """As bytes."""
        flags = self.signs | self.rows << 1 | self.rate << 2 | self.memory << 4 | bool(self.centre) << 6
        return bytes([flags, self.most, self.share | self.mean << 5]) + (signed(self.centre) if self.centre else b"")


def read(cursor: Cursor) -> Settings:
    """The settings at the cursor, checked. Raises FileError."""
    flags, most, prior = cursor.take(3)
    if flags > 127 or not 1 <= most <= UNARY + BITS - 4:
        raise FileError("the settings are not legal", offset=0)
    centre = cursor.signed("the centre") if flags >> 6 else 0
    if flags >> 6 and not 0 < abs(centre) < FAR:
        raise FileError("the centre is not legal", offset=3)
    return Settings(flags & 1, flags >> 1 & 1, flags >> 2 & 3, flags >> 4 & 3, most, prior & 31, prior >> 5, centre)


def first(values: Words, centre: int) -> Settings:
    """Where the search begins: what counting tells about (value - centre), and the middle of everything else."""
    sizes = np.abs(values)
    most, nonzero = int(sizes.max()), int(np.count_nonzero(sizes))
    coded = most if most <= UNARY else most.bit_length() + UNARY - 4
    total = int(sizes.sum())
    share = _nearest(nonzero, values.size)
    mean = min(max((total // max(nonzero, 1)).bit_length() - 1, 0), 7)
    return Settings(1, 0, 1, 0, coded, share, mean, centre)


def _nearest(nonzero: int, size: int) -> int:
    """The share whose chance is nearest to nonzero / size, in integers alone."""
    chances = [tables.logistics()[128 * (share - 20) + tables.LIMIT] for share in range(32)]
    return min(range(32), key=lambda share: abs(chances[share] * size - nonzero * 65536))
