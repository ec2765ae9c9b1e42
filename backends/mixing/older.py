"""The model behind the codecs 3 and 4, which nothing writes any more and everything reads: contexts alone.

Four contexts (seven in the codec 4): the neighbours' magnitudes, the column, how large row and column have been. Signs
have three. The weights of a decision move equally fast for ever.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from . import tables
from .arithmetic import Coder
from .decisions import Decisions, View, back, clamp, quarters
from .settings import OLDER_LITE, OLDER_MAX, OLDER_RATES, Grid, Settings

CONTEXTS = {OLDER_LITE: (64, 128, 32, 64), OLDER_MAX: (64, 512, 64, 64, 1024, 128, 64)}
"""Level -> how many values each of its contexts takes."""
SIGNS = (25, 25, 31)
_LOUDEST, _COLUMN, _ROW = 2**15 - 1, 64, 250


class Older(Decisions):
    """The state behind one stripe.   level: OLDER_LITE or OLDER_MAX.   grid: of the stripe."""

    def __init__(self, level: int, settings: Settings, grid: Grid, coder: Coder) -> None:
        super().__init__(settings, coder, CONTEXTS[level], sum(SIGNS), OLDER_RATES[settings.rate])
        self._level, self._kernel = level, grid.kernel
        self._weights = [[75000 // level] * level + [0] for _ in range(self._nodes)]
        self._sign_weights = [22000] * len(SIGNS) + [0]
        self._energies, self._seen = [settings.energy] * grid.columns, [2] * grid.columns

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
            view = View(self._contexts(_Spot(column, a, b, near, far), row, up, up2), [])
            magnitude = self._magnitude(view, abs(value))
            if magnitude:
                beside = back(row, column - self._kernel) if self._kernel > 1 else a
                magnitude = -magnitude if self._negative(value < 0, a, b, up[column], beside) else magnitude
            row[column] = magnitude
            loud = min(abs(magnitude), _LOUDEST) << 8
            near += (loud - near) >> 3
            far += (loud - far) * tables.steps()[min(4 + column, _ROW)] >> 16
            self._heard(column, loud)
            a, b = magnitude, a

    def _heard(self, column: int, loud: int) -> None:
        seen = self._seen[column]
        self._energies[column] += (loud - self._energies[column]) * tables.steps()[seen] >> 16
        self._seen[column] = seen + (seen < _COLUMN)

    def _contexts(self, spot: _Spot, row: Sequence[int], up: Sequence[int], up2: Sequence[int]) -> list[int]:
        """Where the estimates of each context begin."""
        column, kernel = spot.column, self._kernel
        above, left, left2 = min(abs(up[column]), 3), min(abs(spot.a), 3), min(abs(spot.b), 3)
        if kernel > 1:
            one, two = abs(back(row, column - kernel)), abs(back(row, column - 2 * kernel))
            around = min(one, 3) + 4 * min(two, 3) + 16 * above
        else:
            right = abs(up[column + 1]) if column + 1 < len(row) else 0
            around = above + 4 * min(abs(up2[column]), 3) + 16 * min(right, 3)
        found = [left + 4 * left2 + 16 * above]
        phase, energy, near = column % kernel, quarters(self._energies[column]), quarters(spot.near)
        if self._level == OLDER_LITE:
            found += [min(near >> 2, 15) + 16 * (phase & 7), min(energy >> 1, 31), around]
        else:
            slope = min(quarters(abs(2 * spot.a - spot.b) << 4), 31) * 4 + left
            found += [min(near >> 1, 31) + 32 * min(phase, 15), min(energy, 63), around]
            found += [column & 1023, slope, min(quarters(spot.far), 63)]
        return self._at(found)

    def _negative(self, negative: bool, a: int, b: int, above: int, beside: int) -> int:
        if not self._settings.signs:
            return self._even(negative)
        pairs = 5 * _near(a) + _near(b), 25 + 5 * _near(above) + _near(beside), 50 + clamp(2 * a - b, 15) + 15
        return self._mixed(View([self._extra + place for place in pairs], []), self._sign_weights, negative)


class _Spot(NamedTuple):
    """Where in a row the model is.   a, b: the last two integers.   near, far: how large the row has been, in 2**-8."""

    column: int
    a: int
    b: int
    near: int
    far: int


def _near(value: int) -> int:
    return clamp(value, 2) + 2
