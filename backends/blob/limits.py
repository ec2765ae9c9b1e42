"""What a file may ask of its reader: each quantity that a few bytes can make large has a limit here."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..wire import FileError

MAX_VALUES = 2**28
"""How many integers a file may hold unless the caller says otherwise: 2 GiB, and a few times that to decode."""
NUMBERS, SHARE = 2**16, 64
"""A structure holds at most NUMBERS + max_values / SHARE numbers: one takes about the memory of SHARE integers."""
READINGS = 16
"""All steps together read at most READINGS * max_values integers of constants: each is looked at where it is read."""

_FIX = "raise max_values if you trust the file"


class Limits:
    """What a file may still ask for.   max_values: see `loads`."""

    def __init__(self, max_values: int) -> None:
        self._most, self._room, self._unread = max_values, max_values, READINGS * max_values
        self.numbers = NUMBERS + max_values // SHARE

    def reserve(self, shape: Sequence[int], offset: int) -> int:
        """Room for a constant: all of them share it. Returns how many integers it holds. Raises FileError."""
        # An axis of length 0 counts as 1: numpy refuses absurd shapes even when they hold nothing.
        size = math.prod(max(length, 1) for length in shape)
        if size > self._room:
            what = f"a constant of shape {tuple(shape)} holds {size} integers, and the limit leaves {self._room}"
            raise FileError(what, offset=offset, fix=_FIX)
        self._room -= size
        return size

    def hold(self, what: str, shape: Sequence[int], offset: int) -> None:
        """Raise FileError if one sample of a value, an input's or a step's, holds more than the limit."""
        size = math.prod(shape)
        if size > self._most:
            shown = f"{size} integers a sample, and the limit is {self._most}"
            raise FileError(f"{what} holds {shown}", offset=offset, fix=_FIX)

    def read(self, what: str, size: int, offset: int) -> None:
        """Raise FileError if steps read more of constants than the limit, with a step that reads `size` integers."""
        self._unread -= size
        if self._unread < 0:
            raise FileError(f"{what} reads constants that were read too often before", offset=offset, fix=_FIX)
