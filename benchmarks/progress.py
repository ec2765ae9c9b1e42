"""A report of a training that prints a line every few seconds."""

from __future__ import annotations

import time
from collections.abc import Callable

import lowbit


def show(stage: str, seconds: float = 10) -> Callable[[lowbit.Progress], None]:
    """Prints step, loss and penalty, at most one line in so many seconds, and one at the end."""
    last = [time.monotonic()]

    def report(progress: lowbit.Progress) -> None:
        if time.monotonic() - last[0] > seconds or progress.step == progress.steps:
            last[0] = time.monotonic()
            loss, penalty = progress.loss, progress.penalty
            print(f"{stage}: step {progress.step}/{progress.steps} loss {loss:.4f} penalty {penalty:.4f}", flush=True)

    return report
