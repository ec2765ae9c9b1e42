"""The line that a training shows of itself: its loss, each regularizer and its coefficient, zeros, estimated bytes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from .render import Work

if TYPE_CHECKING:
    from ..compiler.training import Progress

PAUSE = 1.0
"""Seconds from one look at the scalars to the next: they cost more than a step of a small network."""


def line(loss: float, scalars: Mapping[str, float]) -> str:
    """The scalars in one line, such as `loss 0.0213  msqe_weights 1.4e-05 x 120  zeros 80.0 %  about 2,833 bytes`."""
    found = [f"loss {loss:.4f}"]
    for key, value in scalars.items():
        kind, _, name = key.partition("/")
        if kind == "penalty":
            found.append(f"{name} {value:.2g} x {scalars.get(f'coefficient/{name}', 1.0):.3g}")
    if "zeros" in scalars:
        found += [f"zeros {100 * scalars['zeros']:.1f} %", f"about {scalars['coded_bytes']:,.0f} bytes"]
    return "  ".join(found)


class Live:
    """A report of lowbit.compile that shows the line, and looks at the scalars now and then.

    log: told all the same.   now: a clock, in seconds.
    """

    def __init__(
        self,
        work: Work,
        log: Callable[[str, Progress | None], None] | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._work, self._log, self._now, self._due = work, log, now, float("-inf")
        self._scalars: dict[str, float] = {}

    def __call__(self, stage: str, at: Progress | None) -> None:
        """As `report` of lowbit.compile."""
        if self._log is not None:
            self._log(stage, at)
        if at is None:
            self._work(stage)
            return
        if self._now() >= self._due or at.step == at.steps:
            from ..compiler.training.scalars import scalars

            self._scalars, self._due = scalars(at.module), self._now() + PAUSE
        self._work(stage, at.step, at.steps, line(at.loss, self._scalars))
