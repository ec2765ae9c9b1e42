"""The threads that share a batch: C runs outside the interpreter's lock, each thread in an arena of its own."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import TypeVar

import torch

Result = TypeVar("Result")
GRAIN = 10**7
"""Multiply-accumulates that are worth a thread of their own: a few times as long as waking one takes."""


def shared(samples: int, work: int, part: Callable[[int, int], Result]) -> list[Result]:
    """What `part(first, last)` gives for runs of samples that make up all of them, each in a thread.

    work: multiply-accumulates of a sample. There are as many threads as torch may use (`torch.set_num_threads`,
    OMP_NUM_THREADS), and as are worth it; the first run is computed in the caller's.
    """
    threads = min(samples, samples * work // GRAIN, torch.get_num_threads())
    if threads < 2:
        return [part(0, samples)]
    ends = [samples * i // threads for i in range(threads + 1)]
    # A process that was forked has none of the threads: it makes its own.
    others = [_pool(os.getpid()).submit(part, *run) for run in pairwise(ends[1:])]
    return [part(0, ends[1]), *(other.result() for other in others)]


@functools.cache
def _pool(process: int) -> ThreadPoolExecutor:
    """Threads are made as they are needed, and wait for more."""
    return ThreadPoolExecutor(os.cpu_count(), thread_name_prefix=f"lowbit-c99-{process}")
