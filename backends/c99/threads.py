"""How the samples of a batch are shared by threads: each has an arena of its own."""

from __future__ import annotations

from collections.abc import Callable

from ...compiler import threads
from ...compiler.threads import Result

GRAIN = 10**7
"""Multiply-accumulates that are worth a thread of their own: a few times as long as waking one takes."""


def shared(samples: int, work: int, part: Callable[[int, int], Result]) -> list[Result]:
    """What `part(first, last)` gives for runs of samples that make up all of them; see `compiler/threads.py`.

    work: multiply-accumulates of a sample.
    """
    return threads.shared(samples, samples * work // GRAIN, part)
