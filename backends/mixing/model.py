"""The model of the context mixer: which bits make an integer, and how likely each is, from the integers around it.

An integer is told by decisions: is it zero, is its magnitude above 1, above 2, ..., and its sign. For each of them a
handful of contexts (the neighbours' magnitudes, the column, how large row and column have been) hold estimates, whose
logits are summed with weights that learn. `>>` rounds down; there is no float. docs/format.md has every number. One
class serves both sides, so that they cannot disagree.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from typing import NamedTuple

from . import tables
from .arithmetic import Coder
from .settings import BITS, LITE, MAX, MEMORIES, RATES, Grid, Settings

CONTEXTS = {LITE: (64, 128, 32, 64), MAX: (64, 512, 64, 64, 1024, 128, 64)}
"""Level -> how many values each of its contexts takes."""
SIGNS = (25, 25, 31)
CLAMP = 2**18
_HALF, _LOUDEST, _COLUMN, _ROW, _FLAG = 2**15, 2**15 - 1, 64, 250, 60


class Model:
    """The state behind one stripe: estimates, weights, and what is known of the columns.

    level: LITE or MAX.   grid: of the stripe.
    """

    def __init__(self, level: int, settings: Settings, grid: Grid, coder: Coder) -> None:
        self._settings, self._level, self._kernel, self._coder = settings, level, grid.kernel, coder
        self._rate, self._memory = RATES[settings.rate], MEMORIES[settings.memory]
        self._nodes = nodes = settings.nodes
        self._signs = sum(CONTEXTS[level]) * nodes
        self._thirds = self._signs + sum(SIGNS)
        self._flags = self._thirds + BITS
        self._p, self._n = [1 << 21] * (self._flags + 2), [1] * (self._flags + 2)
        for place in range(0, self._signs, nodes):
            self._p[place], self._n[place] = settings.chance << 6 | 32, 4
        self._weights = [[75000 // level] * level + [0] for _ in range(nodes)]
        self._sign_weights = [22000] * len(SIGNS) + [0]
        self._energies, self._seen = [settings.energy] * grid.columns, [2] * grid.columns
        self._flag = 1

    def row(self, row: list[int], up: Sequence[int], up2: Sequence[int]) -> None:
        """Code one row: an encoder reads it, a decoder puts it there.   up, up2: the two rows before, or zeros."""
        if self._settings.rows and not self._filled(any(row)):
            row[:] = [0] * len(row)
            for column in range(len(row)):
                self._heard(column, 0)
            return
        near = far = self._settings.energy
        a = b = 0
        for column, value in enumerate(row):
            places = self._places(_Spot(column, a, b, near, far), row, up, up2)
            magnitude = self._magnitude(places, abs(value))
            if magnitude:
                beside = _back(row, column - self._kernel) if self._kernel > 1 else a
                magnitude = -magnitude if self._negative(value < 0, a, b, up[column], beside) else magnitude
            row[column] = magnitude
            loud = min(abs(magnitude), _LOUDEST) << 8
            near += (loud - near) >> 3
            far += (loud - far) * tables.steps()[min(4 + column, _ROW)] >> 16
            self._heard(column, loud)
            a, b = magnitude, a

    def _filled(self, filled: bool) -> int:
        self._flag = self._estimated(self._flags + self._flag, int(filled), _FLAG)
        return self._flag

    def _heard(self, column: int, loud: int) -> None:
        seen = self._seen[column]
        self._energies[column] += (loud - self._energies[column]) * tables.steps()[seen] >> 16
        self._seen[column] = seen + (seen < _COLUMN)

    def _places(self, spot: _Spot, row: Sequence[int], up: Sequence[int], up2: Sequence[int]) -> list[int]:
        """Where the estimates of each context begin."""
        column, kernel = spot.column, self._kernel
        above, left, left2 = min(abs(up[column]), 3), min(abs(spot.a), 3), min(abs(spot.b), 3)
        if kernel > 1:
            one, two = abs(_back(row, column - kernel)), abs(_back(row, column - 2 * kernel))
            around = min(one, 3) + 4 * min(two, 3) + 16 * above
        else:
            right = abs(up[column + 1]) if column + 1 < len(row) else 0
            around = above + 4 * min(abs(up2[column]), 3) + 16 * min(right, 3)
        found = [left + 4 * left2 + 16 * above]
        phase, energy, near = column % kernel, _size(self._energies[column]), _size(spot.near)
        if self._level == LITE:
            found += [min(near >> 2, 15) + 16 * (phase & 7), min(energy >> 1, 31), around]
        else:
            slope = min(_size(abs(2 * spot.a - spot.b) << 4), 31) * 4 + left
            found += [min(near >> 1, 31) + 32 * min(phase, 15), min(energy, 63), around]
            found += [column & 1023, slope, min(_size(spot.far), 63)]
        return [(start + value) * self._nodes for start, value in zip(_starts(self._level), found, strict=True)]

    def _magnitude(self, places: Sequence[int], size: int) -> int:
        if not self._decided(places, 0, size != 0):
            return 0
        if self._settings.bits:
            return self._long(places, size)
        found = 1
        while found < self._settings.most and self._decided(places, found, size > found):
            found += 1
        return found

    def _long(self, places: Sequence[int], size: int) -> int:
        """The number of bits first, in unary; then the bits below the leading one: two modelled, one estimated."""
        last, extra = self._settings.bits - 1, 0
        while extra < last and self._decided(places, 1 + extra, size >> extra + 1 != 0):
            extra += 1
        found = 1
        for shift in range(extra - 1, -1, -1):
            bit = size >> shift & 1
            match extra - shift:
                case 1:
                    bit = self._decided(places, last + extra, bit)
                case 2:
                    bit = self._decided(places, 2 * last + 2 * extra - 3 + (found & 1), bit)
                case 3:
                    bit = self._estimated(self._thirds + extra, bit, self._memory)
                case _:
                    bit = self._coder.bit(_HALF, bit)
            found = 2 * found + bit
        return found

    def _negative(self, negative: bool, a: int, b: int, above: int, beside: int) -> int:
        if not self._settings.signs:
            return self._coder.bit(_HALF, negative)
        line = min(max(2 * a - b, -15), 15) + 15
        found = [5 * _near(a) + _near(b), 25 + 5 * _near(above) + _near(beside), 50 + line]
        return self._mixed([self._signs + place for place in found], self._sign_weights, negative)

    def _decided(self, places: Sequence[int], node: int, bit: int) -> int:
        return self._mixed([place + node for place in places], self._weights[node], bit)

    def _mixed(self, places: Sequence[int], weights: list[int], bit: int) -> int:
        """One decision: mix, code, and learn from what it was."""
        estimates, logits = self._p, tables.logits()
        inputs = [logits[estimates[place] >> 6] for place in places] + [256]
        total = sum([value * (weight >> 2) for value, weight in zip(inputs, weights, strict=True)]) >> 14
        p = tables.logistics()[min(max(total, -tables.LIMIT), tables.LIMIT - 1) + tables.LIMIT]
        bit = self._coder.bit(p, bit)
        error = ((bit << 16) - bit - p) * self._rate >> 4
        for index, value in enumerate(inputs):
            weights[index] = min(max(weights[index] + (value * error + 8192 >> 14), -CLAMP), CLAMP)
        for place in places:
            self._learn(place, bit, self._memory)
        return bit

    def _estimated(self, place: int, bit: int, memory: int) -> int:
        """One decision by a single estimate."""
        bit = self._coder.bit(max(self._p[place] >> 6, 1), bit)
        self._learn(place, bit, memory)
        return bit

    def _learn(self, place: int, bit: int, memory: int) -> None:
        seen, p = self._n[place], self._p[place]
        self._p[place] = p + (((bit << 22) - bit - p) * tables.steps()[seen] >> 16)
        self._n[place] = seen + (seen < memory)


class _Spot(NamedTuple):
    """Where in a row the model is.   a, b: the last two integers.   near, far: how large the row has been, in 2**-8."""

    column: int
    a: int
    b: int
    near: int
    far: int


@functools.cache
def _starts(level: int) -> list[int]:
    return list(itertools.accumulate(CONTEXTS[level], initial=0))[:-1]


def _back(row: Sequence[int], column: int) -> int:
    return row[column] if column >= 0 else 0


def _near(value: int) -> int:
    return min(max(value, -2), 2) + 2


def _size(energy: int) -> int:
    """Quarters of an octave, from 0."""
    energy += 8
    exponent = energy.bit_length() - 1
    return 4 * exponent + (energy >> exponent - 2 & 3) - 12
