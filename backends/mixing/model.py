"""The model of the context mixer: what is known when a decision about an integer is made, from those coded before it.

Three contexts (six at the level MAX) hold estimates: one begins anew with each row, the others look at neighbours.
Beside their logits, terms are mixed that need not be learnt first: the logarithms of how large the row, the column, the
channel, the place in the kernel and the neighbours are. A sign is mixed from its neighbours themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from . import tables
from .arithmetic import Coder
from .decisions import Decisions, View, back, clamp, octaves, quarters
from .settings import LITE, MAX, RATES, Grid, Settings

CONTEXTS = {LITE: (1, 64, 64), MAX: (1, 64, 64, 512, 1024, 128)}
"""Level -> how many values each of its contexts takes."""
TERMS, BESIDE = 6, 5
"""How many terms a decision about a magnitude has, and one about a sign."""
LOUDEST, MEMORY, _FINE = 2**11 - 1, 250, 12
_FASTEST, _SEEN = 2047, 1000


class Model(Decisions):
    """The state behind one stripe: estimates, weights, and how large everything is.

    level: LITE or MAX.   grid: of the stripe.
    """

    def __init__(self, level: int, settings: Settings, grid: Grid, coder: Coder) -> None:
        contexts = CONTEXTS[level]
        super().__init__(settings, coder, contexts, 0, RATES[settings.rate])
        self._level, self._grid = level, grid
        first = [66000 // len(contexts)] * len(contexts) + [13000] * TERMS + [0, 0]
        self._weights = [first.copy() for _ in range(self._nodes)]
        self._sign_weights = [0] * (BESIDE + 2)
        self._middle, self._scale = octaves(settings.energy), 65536 // (settings.energy + 16)
        columns, kernel = grid.columns, grid.kernel
        self._columns, self._channels, self._places = (
            _Energies([settings.energy << 4] * size, [2] * size) for size in (columns, columns // kernel, kernel)
        )

    def row(self, row: list[int], up: Sequence[int], up2: Sequence[int]) -> None:
        """Code one row: an encoder reads it, a decoder puts it there.   up, up2: the two rows before, or zeros."""
        self._anew()
        if self._settings.rows and not self._filled(any(row)):
            row[:] = [0] * len(row)
            for column in range(len(row)):
                self._columns.hear(column, 0)
            return
        near = far = self._settings.energy << 4
        for column, value in enumerate(row):
            spot = _Spot.at(column, self._grid, row, up, up2)
            view = View(self._contexts(spot, near), self._terms(spot, near, far))
            magnitude = self._magnitude(view, abs(value))
            row[column] = -magnitude if magnitude and self._negative(value < 0, spot) else magnitude
            loud = min(magnitude, LOUDEST) << _FINE
            near += (loud - near) >> 3
            far += (loud - far) * tables.steps()[min(4 + column, MEMORY)] >> 16
            self._hear(spot, loud)

    def _anew(self) -> None:
        """The estimates of the first context forget the row before."""
        for node in range(self._nodes):
            self._p[node], self._n[node] = (1 << 21, 1) if node else self._first

    def _hear(self, spot: _Spot, loud: int) -> None:
        self._columns.hear(spot.column, loud)
        if self._grid.kernel > 1:
            self._channels.hear(spot.column // self._grid.kernel, loud)
            self._places.hear(spot.phase, loud)

    def _contexts(self, spot: _Spot, near: int) -> list[int]:
        """Where the estimates of each context begin."""
        left, above = min(abs(spot.a), 3), min(abs(spot.up), 3)
        if self._grid.kernel > 1:
            around = min(abs(spot.back), 3) + 4 * min(abs(spot.second), 3) + 16 * above
        else:
            around = above + 4 * min(abs(spot.up2), 3) + 16 * min(abs(spot.right), 3)
        found = [0, left + 4 * min(abs(spot.b), 3) + 16 * above, around]
        if self._level == MAX:
            slope = min(quarters(abs(2 * spot.a - spot.b) << 4), 31) * 4 + left
            found += [min(quarters(near >> 4) >> 1, 31) + 32 * min(spot.phase, 15), spot.column & 1023, slope]
        return self._at(found)

    def _terms(self, spot: _Spot, near: int, far: int) -> list[int]:
        """How large the integers are that tell of this one, against what is large in the stripe."""
        kernel = self._grid.kernel
        pairs = [(2, spot.a), (1, spot.b), (2, spot.up)]
        if kernel > 1:
            pairs += [(2, spot.back), (1, spot.second), (1, spot.up2)]
        else:
            pairs += [(2, spot.up2), (1, spot.left), (1, spot.right)]
        around = 28 * sum(weight * min(abs(value), LOUDEST) for weight, value in pairs)
        energies = [near >> 4, far >> 4, self._columns.of[spot.column] >> 4, around]
        if kernel > 1:
            energies += [self._channels.of[spot.column // kernel] >> 4, self._places.of[spot.phase] >> 4]
        terms = [clamp((octaves(energy) - self._middle) * 3 >> 2, 2047) for energy in energies]
        return terms + [0] * (TERMS - len(terms))

    def _negative(self, negative: bool, spot: _Spot) -> int:
        if not self._settings.signs:
            return self._even(negative)
        beside = spot.back if self._grid.kernel > 1 else spot.up2
        near = (spot.a, spot.b, spot.up, beside, spot.over)
        terms = [clamp(clamp(value, 1023) * self._scale, 1023) for value in near]
        return self._mixed(View([], terms), self._sign_weights, negative)

    def _pace(self, weights: list[int]) -> int:
        """Less and less, the more decisions they have seen."""
        seen = weights[-1]
        weights[-1] = min(seen + 1, _SEEN)
        return min(self._rate * (16 + (40 * tables.steps()[seen + 15] >> 8)), _FASTEST)


@dataclass(frozen=True)
class _Energies:
    """Mean magnitudes, in 2**-12, and how often each was heard."""

    of: list[int]
    seen: list[int]

    def hear(self, index: int, loud: int) -> None:
        seen = self.seen[index]
        self.of[index] += (loud - self.of[index]) * tables.steps()[seen] >> 16
        self.seen[index] = seen + (seen < MEMORY)


@dataclass(frozen=True)
class _Spot:
    """An integer's neighbours, 0 where there are none.

    a, b: one and two to the left.   up, up2: one and two rows above.   left, right: beside `up`.   back: one channel to
    the left.   over: one line of the kernel above.   second: `over` if there is one, else two channels to the left.
    """

    column: int
    phase: int
    a: int
    b: int
    up: int
    up2: int
    left: int
    right: int
    back: int
    over: int
    second: int

    @staticmethod
    def at(column: int, grid: Grid, row: Sequence[int], up: Sequence[int], up2: Sequence[int]) -> _Spot:
        phase, inner = column % grid.kernel, column % grid.kernel >= grid.line
        over = row[column - grid.line] if inner else 0
        right = up[column + 1] if column + 1 < len(row) else 0
        second = over if inner else back(row, column - 2 * grid.kernel)
        beside = back(row, column - 1), back(row, column - 2)
        above = up[column], up2[column], back(up, column - 1), right
        return _Spot(column, phase, *beside, *above, back(row, column - grid.kernel), over, second)
