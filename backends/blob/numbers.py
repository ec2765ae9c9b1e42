"""The numbers of a program's structure, coded bit by bit: what is as it was at that place before costs next to nothing.

Each number has a place, such as the stride of a convolution, and is told by decisions that have an adaptive estimate
each: its length in bits, one after another, and its two highest bits below the first; the others are even.
docs/format.md has every number. One class serves both sides, so that they cannot disagree.
"""

from __future__ import annotations

from collections.abc import Hashable

from ..mixing import tables
from ..mixing.arithmetic import Coder, Decoder, Encoder
from ..wire import WORD, Cursor, FileError, from_zigzag, zigzag

MEMORY, LONGEST, TOP = 60, 64, 2
"""How many bits an estimate remembers; the length of the longest number; how many of its high bits have estimates."""
PER_BYTE = 256
"""A structure holds at most so many numbers a byte: a bound on what hostile bytes can ask for."""
_ONE, _UNSEEN, _EVEN = (1 << 22) - 1, (1 << 21, 0), 1 << 15


class Numbers:
    """What both sides share: the estimates."""

    def __init__(self, coder: Coder) -> None:
        self._coder, self._steps = coder, tables.steps()
        self._estimates: dict[Hashable, dict[int, tuple[int, int]]] = {}

    def code(self, place: Hashable, value: int) -> int:
        """Code a number in [0, 2**64) at a place. The decoder does not look at `value`."""
        estimates = self._estimates.setdefault(place, {})
        length, known = value.bit_length(), 0
        while known < LONGEST and self._bit(estimates, known, int(length > known)):
            known += 1
        if known < 2:
            return known
        found = 1
        for at in range(known - 2, -1, -1):
            bit = value >> at & 1
            high = known - 2 - at < TOP
            key = LONGEST * found + known  # none that tells a length
            found = found << 1 | (self._bit(estimates, key, bit) if high else self._coder.bit(_EVEN, bit))
        return found

    def _bit(self, estimates: dict[int, tuple[int, int]], key: int, bit: int) -> int:
        p, seen = estimates.get(key, _UNSEEN)
        bit = self._coder.bit(p >> 6 or 1, bit)
        p += ((bit * _ONE - p) * self._steps[seen]) >> 16
        estimates[key] = p, seen + (seen < MEMORY)
        return bit


class Written:
    """The numbers as they are written."""

    def __init__(self) -> None:
        self._encoder = Encoder()
        self._numbers = Numbers(self._encoder)

    def varint(self, value: int, *place: Hashable) -> None:
        """A number in [0, 2**64)."""
        self._numbers.code(place, value)

    def signed(self, value: int, *place: Hashable) -> None:
        """A number in [-2**63, 2**63)."""
        self.varint(zigzag(value), *place)

    def finish(self) -> bytes:
        """All bytes."""
        return self._encoder.finish()


class Read:
    """The numbers as they are read, each held to a bound.

    offset: where the bytes begin in the file, for errors.   most: of the numbers.   left: how many more there may be.
    """

    def __init__(self, data: memoryview, offset: int, most: int) -> None:
        self._decoder, self.offset = Decoder(data), offset
        self._numbers, self.left = Numbers(self._decoder), min(PER_BYTE * (len(data) + 1), most)

    def varint(self, what: str, *place: Hashable, most: int = WORD - 1) -> int:
        """A number in [0, most]; `what` names it in the error, and with `place` its place."""
        self.left -= 1
        if self.left < 0:
            what = "the structure holds more numbers than its bytes can, or than the limit allows"
            raise FileError(what, offset=self.offset, fix="raise max_values if you trust the file")
        value = self._numbers.code((what, *place), 0)
        if value > most:
            raise FileError(f"{what} is {value}, more than {most}", offset=self.offset)
        return value

    def signed(self, what: str, *place: Hashable) -> int:
        """A number in [-2**63, 2**63)."""
        return from_zigzag(self.varint(what, *place))

    def multiplier(self, what: str) -> int:
        """That of a port, less the least."""
        return self.varint(what)

    def finish(self) -> None:
        """Raise unless the bytes are just those of the numbers read."""
        if not self._decoder.finished():
            raise FileError("the structure does not end where its numbers do", offset=self.offset)


class Spelt:
    """The numbers of a file of version 1, which spells each out in bytes of its own."""

    def __init__(self, cursor: Cursor) -> None:
        self._cursor = cursor

    @property
    def offset(self) -> int:
        """Where the next number begins."""
        return self._cursor.offset

    @property
    def left(self) -> int:
        """How many more numbers there may be."""
        return self._cursor.left

    def varint(self, what: str, *place: Hashable, most: int = WORD - 1) -> int:
        """A number in [0, most]; `what` names it in the error."""
        return self._cursor.varint(what, most)

    def signed(self, what: str, *place: Hashable) -> int:
        """A number in [-2**63, 2**63)."""
        return self._cursor.signed(what)

    def multiplier(self, what: str) -> int:
        """That of a port, less the least."""
        return int.from_bytes(self._cursor.take(3), "little")

    def finish(self) -> None:
        """Nothing: the file ends where the last number does, or the last stream."""
