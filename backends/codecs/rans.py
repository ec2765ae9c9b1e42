"""Static interleaved rANS, for weights: close to their zeroth-order entropy, fast to decode, also in numpy alone.

    table        symbols and frequencies, as `backends/frequencies.py` writes them, with log2 of the number of lanes in
                 the spare half byte
    states       5 bytes a lane, little endian: the lane's first state, 2**24 <= x < 2**40
    words        2 bytes each, little endian, to the end

Integer i belongs to lane i mod lanes. To decode it, with p the precision and x the lane's state:
slot = x mod 2**p; the symbol is the one whose frequencies' running sum (from `start`, `frequency` wide) holds the slot;
x = frequency * (x >> p) + slot - start; and if x < 2**24, then x = (x << 16) + the next word.
In the end every lane's state is 2**24 and no word is left.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ...compiler.errors import Unsupported
from .. import frequencies
from ..codec import Codec, Words
from ..frequencies import Table
from ..mixing import form
from ..wire import Cursor, FileError

_LOW, _WORD = 24, 16  # bits: a state is at least 2**_LOW and less than 2**(_LOW + _WORD)
_LANE = 600  # payload bytes that pay for a lane, which costs 3 bytes net: half a per cent
_VECTOR = 32  # lanes from which numpy beats plain Python integers; the encoder takes these or more, or one
_SHORT = "the words end before the last integer"


def _encode(tensor: Words) -> bytes:
    values = tensor.reshape(-1)
    if not values.size:
        raise Unsupported("an empty tensor has no frequencies")
    table, indices = frequencies.fit(values)
    lanes = min(table.cost(np.bincount(indices)) // _LANE, 2**15)
    depth = lanes.bit_length() - 1 if lanes >= _VECTOR else 0
    write = _write_rows if depth else _write_each
    states, words = write(table, indices, 2**depth)
    octets = states.astype("<u8").view(np.uint8).reshape(-1, 8)[:, :5]
    return table.write(depth) + octets.tobytes() + words.astype("<u2").tobytes()


def _write_rows(table: Table, indices: Words, lanes: int) -> tuple[Words, Words]:
    states, words, start = np.full(lanes, 1 << _LOW), [], table.starts
    for row in range((indices.size - 1) // lanes, -1, -1):
        here = indices[row * lanes : (row + 1) * lanes]
        view, frequency = states[: here.size], table.frequencies[here]
        full = np.flatnonzero(view >= frequency << (_LOW + _WORD - table.precision))
        words.append(view[full] & 0xFFFF)
        view[full] >>= _WORD
        whole, part = np.divmod(view, frequency)
        view[:] = (whole << table.precision) + part + start[here]
    return states, np.concatenate(words[::-1])


def _write_each(table: Table, indices: Words, lanes: int) -> tuple[Words, Words]:
    states, words = [1 << _LOW] * lanes, []
    wide, start = table.frequencies.tolist(), table.starts.tolist()
    for at, index in zip(range(indices.size - 1, -1, -1), indices[::-1].tolist(), strict=True):
        state, frequency = states[at % lanes], wide[index]
        if state >= frequency << (_LOW + _WORD - table.precision):
            words.append(state & 0xFFFF)
            state >>= _WORD
        whole, part = divmod(state, frequency)
        states[at % lanes] = (whole << table.precision) + part + start[index]
    return np.array(states), np.array(words[::-1], dtype=np.int64)


@dataclass(frozen=True, eq=False)
class _Slots:
    """The table spread over its 2**precision slots: what multiplies the state and what is added."""

    precision: int
    wide: Words
    add: Words

    @staticmethod
    def of(table: Table) -> _Slots:
        wide = np.repeat(table.frequencies, table.frequencies)
        return _Slots(table.precision, wide, np.arange(wide.size) - np.repeat(table.starts, table.frequencies))


def _decode(data: bytes | memoryview, shape: tuple[int, ...]) -> Words:
    values = np.empty(math.prod(shape), dtype=np.int64)
    if not form.rans(data, values):
        _decode_plainly(data, values)  # it tells what is wrong
    return values.reshape(shape)


def _decode_plainly(data: bytes | memoryview, out: Words) -> None:
    """The definition, in numpy alone. Raises FileError."""
    cursor = Cursor(data)
    table, depth = frequencies.read(cursor)
    states = _states(cursor.take(5 << depth))
    if cursor.left % 2:
        raise FileError("half a word is left over", offset=cursor.offset)
    words = np.frombuffer(cursor.take(cursor.left), dtype="<u2").astype(np.int64)
    read = _read_rows if states.size >= _VECTOR else _read_each
    slots, used = read(_Slots.of(table), states, words, out.size)
    if used != words.size or (states != 1 << _LOW).any():
        raise FileError("the lanes do not end where they should", offset=len(data))
    np.repeat(table.symbols, table.frequencies).take(slots, out=out)


def _states(data: memoryview) -> Words:
    octets = np.zeros((len(data) // 5, 8), dtype=np.uint8)
    octets[:, :5] = np.frombuffer(data, dtype=np.uint8).reshape(-1, 5)
    states = octets.reshape(-1).view("<i8").astype(np.int64)
    if (states < 1 << _LOW).any():
        raise FileError("a lane begins with too small a state")
    return states


def _read_rows(slots: _Slots, states: Words, words: Words, count: int) -> tuple[Words, int]:
    found, used, mask = np.empty(count, dtype=np.int64), 0, (1 << slots.precision) - 1
    for at in range(0, count, states.size):
        here = found[at : at + states.size]
        view = states[: here.size]
        np.bitwise_and(view, mask, out=here)
        view >>= slots.precision
        view *= slots.wide[here]
        view += slots.add[here]
        low = np.flatnonzero(view < 1 << _LOW)
        if used + low.size > words.size:
            raise FileError(_SHORT)
        view[low] = (view[low] << _WORD) + words[used : used + low.size]
        used += low.size
    return found, used


def _read_each(slots: _Slots, states: Words, words: Words, count: int) -> tuple[Words, int]:
    found, queue, lanes = np.empty(count, dtype=np.int64), iter(words.tolist()), states.tolist()
    wide, add, mask = slots.wide.tolist(), slots.add.tolist(), (1 << slots.precision) - 1
    for at in range(count):
        state = lanes[at % len(lanes)]
        found[at] = slot = state & mask
        state = wide[slot] * (state >> slots.precision) + add[slot]
        if state < 1 << _LOW:
            state = _refill(state, queue)
        lanes[at % len(lanes)] = state
    states[:] = lanes
    return found, words.size - sum(1 for _ in queue)


def _refill(state: int, queue: Iterator[int]) -> int:
    word = next(queue, None)
    if word is None:
        raise FileError(_SHORT)
    return (state << _WORD) + word


CODEC = Codec(code=2, encode=_encode, decode=_decode)
