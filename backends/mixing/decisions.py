"""The decisions that make an integer, and how each is coded: by estimates and terms whose logits are mixed, or by one.

An integer is told by decisions: is it zero, is its magnitude above 1, above 2, ..., and its sign. What is known when a
decision is made, the models beside this file say: `model.py` that of today, `older.py` that of files of before. `>>`
rounds down; there is no float. docs/format.md has every number. One class serves both sides, so that they cannot
disagree.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

from . import tables
from .arithmetic import Coder
from .settings import BITS, MEMORIES, Settings

CLAMP = 2**18
_HALF, _FLAG = 2**15, 60


class View(NamedTuple):
    """What a decision is made from: where the estimates of each context begin, and terms that need none."""

    places: list[int]
    terms: list[int]


class Decisions:
    """The estimates and weights of a stripe.

    contexts: how many values each of them takes.   extra: how many estimates there are besides, of signs.
    rate: how fast the weights move.
    """

    def __init__(self, settings: Settings, coder: Coder, contexts: Sequence[int], extra: int, rate: int) -> None:
        self._settings, self._coder, self._rate = settings, coder, rate
        self._memory, self._nodes = MEMORIES[settings.memory], settings.nodes
        self._extra = sum(contexts) * self._nodes
        self._thirds = self._extra + extra
        self._flags = self._thirds + BITS
        self._p, self._n = [1 << 21] * (self._flags + 2), [1] * (self._flags + 2)
        self._starts = list(itertools.accumulate(contexts[:-1], initial=0))
        for place in range(0, self._extra, self._nodes):
            self._p[place], self._n[place] = self._first
        self._flag = 1
        self._weights: list[list[int]] = []

    @property
    def _first(self) -> tuple[int, int]:
        return self._settings.chance << 6 | 32, 4

    def _filled(self, filled: bool) -> int:
        self._flag = self._estimated(self._flags + self._flag, int(filled), _FLAG)
        return self._flag

    def _at(self, found: Sequence[int]) -> list[int]:
        """Where the estimates of each context begin, by its value."""
        return [(start + value) * self._nodes for start, value in zip(self._starts, found, strict=True)]

    def _magnitude(self, view: View, size: int) -> int:
        if not self._decided(view, 0, size != 0):
            return 0
        if self._settings.bits:
            return self._long(view, size)
        found = 1
        while found < self._settings.most and self._decided(view, found, size > found):
            found += 1
        return found

    def _long(self, view: View, size: int) -> int:
        """The number of bits first, in unary; then the bits below the leading one: two modelled, one estimated."""
        last, extra = self._settings.bits - 1, 0
        while extra < last and self._decided(view, 1 + extra, size >> extra + 1 != 0):
            extra += 1
        found = 1
        for shift in range(extra - 1, -1, -1):
            bit = size >> shift & 1
            match extra - shift:
                case 1:
                    bit = self._decided(view, last + extra, bit)
                case 2:
                    bit = self._decided(view, 2 * last + 2 * extra - 3 + (found & 1), bit)
                case 3:
                    bit = self._estimated(self._thirds + extra, bit, self._memory)
                case _:
                    bit = self._even(bit)
            found = 2 * found + bit
        return found

    def _decided(self, view: View, node: int, bit: int) -> int:
        return self._mixed(View([place + node for place in view.places], view.terms), self._weights[node], bit)

    def _mixed(self, view: View, weights: list[int], bit: int) -> int:
        """One decision: mix, code, and learn from what it was. Behind the weights stands what `_pace` counts."""
        estimates, logits = self._p, tables.logits()
        inputs = [*(logits[estimates[place] >> 6] for place in view.places), *view.terms, 256]
        total = sum([value * (weight >> 2) for value, weight in zip(inputs, weights, strict=False)]) >> 14
        p = tables.logistics()[min(max(total, -tables.LIMIT), tables.LIMIT - 1) + tables.LIMIT]
        bit = self._coder.bit(p, bit)
        error = ((bit << 16) - bit - p) * self._pace(weights) >> 8
        for index, value in enumerate(inputs):
            weights[index] = min(max(weights[index] + (value * error + 8192 >> 14), -CLAMP), CLAMP)
        for place in view.places:
            self._learn(place, bit, self._memory)
        return bit

    def _pace(self, weights: list[int]) -> int:
        """How fast the weights of a decision move."""
        return self._rate << 4

    def _even(self, bit: int) -> int:
        return self._coder.bit(_HALF, bit)

    def _estimated(self, place: int, bit: int, memory: int) -> int:
        """One decision by a single estimate."""
        bit = self._coder.bit(max(self._p[place] >> 6, 1), bit)
        self._learn(place, bit, memory)
        return bit

    def _learn(self, place: int, bit: int, memory: int) -> None:
        seen, p = self._n[place], self._p[place]
        self._p[place] = p + (((bit << 22) - bit - p) * tables.steps()[seen] >> 16)
        self._n[place] = seen + (seen < memory)


def clamp(value: int, most: int) -> int:
    """The value, or the end of -most..most that is nearer."""
    return min(max(value, -most), most)


def back(row: Sequence[int], column: int) -> int:
    """The integer in that column, or 0 before the first."""
    return row[column] if column >= 0 else 0


def quarters(energy: int) -> int:
    """Quarters of an octave, from 0."""
    energy += 8
    exponent = energy.bit_length() - 1
    return 4 * exponent + (energy >> exponent - 2 & 3) - 12


def octaves(energy: int) -> int:
    """About 256 log2(energy + 8), in straight lines from power to power."""
    energy += 8
    exponent = energy.bit_length() - 1
    return 256 * exponent + (energy << 8 >> exponent)
