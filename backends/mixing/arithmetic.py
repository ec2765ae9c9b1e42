"""A binary range coder of 32 bits: probabilities in 2**-16, carries put into what is written, a flush of one byte.

The stream is a number in [0, 1), most significant byte first; zeros at its end are not written. Coding a bit narrows
the interval [low, low + range): a 1 keeps its low end, a 0 its high end.
"""

from __future__ import annotations

from typing import Protocol

_WHOLE, _BYTE = 0xFFFFFFFF, 1 << 24


class Coder(Protocol):
    """What the model asks of either side."""

    def bit(self, p: int, bit: int) -> int:
        """Code one bit that is 1 with probability p / 2**16, 1..65535. The decoder does not look at `bit`."""


class Encoder:
    """Writes bits."""

    def __init__(self) -> None:
        self._low, self._range = 0, _WHOLE
        self._out = bytearray()

    def bit(self, p: int, bit: int) -> int:
        """Write one bit, and return it."""
        bound = self._range * p >> 16
        if bit:
            self._range = bound
        else:
            self._low += bound
            self._range -= bound
        while self._range < _BYTE:
            self._shift()
            self._range <<= 8
        return bit

    def _shift(self) -> None:
        self._carry()
        self._out.append(self._low >> 24)
        self._low = self._low << 8 & _WHOLE

    def _carry(self) -> None:
        if self._low > _WHOLE:
            self._low &= _WHOLE
            at = len(self._out) - 1
            while self._out[at] == 255:
                self._out[at] = 0
                at -= 1
            self._out[at] += 1

    def finish(self) -> bytes:
        """All bytes: the shortest that lead into the last interval."""
        self._low += ending(self._low & _WHOLE, self._range)
        for _ in range(4):
            self._shift()
        return bytes(self._out).rstrip(b"\0")


class Decoder:
    """Reads bits. Any bytes decode to something; behind the last one lie zeros."""

    def __init__(self, data: bytes | memoryview) -> None:
        self._data, self._at, self._range, self._code = bytes(data), 0, _WHOLE, 0
        for _ in range(4):
            self._code = self._code << 8 | self._next()

    def bit(self, p: int, bit: int) -> int:
        """Read one bit."""
        bound = self._range * p >> 16
        found = self._code < bound
        if found:
            self._range = bound
        else:
            self._code -= bound
            self._range -= bound
        while self._range < _BYTE:
            self._code = self._code << 8 & _WHOLE | self._next()
            self._range <<= 8
        return int(found)

    def _next(self) -> int:
        self._at += 1
        return self._data[self._at - 1] if self._at <= len(self._data) else 0

    def finished(self) -> bool:
        """Whether the bytes are those that an encoder of the bits read would have written."""
        if len(self._data) > self._at or self._data.endswith(b"\0"):
            return False
        window = int.from_bytes(self._data[self._at - 4 : self._at].ljust(4, b"\0"))
        return self._code == ending(window - self._code & _WHOLE, self._range)


def ending(low: int, width: int) -> int:
    """How far above `low` the number lies that ends a stream: a multiple of 2**32 if one is near, else of 2**24."""
    whole = -low & _WHOLE
    return whole if whole < width else -low & _BYTE - 1
