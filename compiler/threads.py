"""Threads that share what runs outside the interpreter's lock: C of ours, on parts of the same arrays."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import TypeVar

import torch

Result = TypeVar("Result")


def shared(count: int, most: int, part: Callable[[int, int], Result]) -> list[Result]:
    """What `part(first, last)` gives for runs that make up `count`, in their order, each in a thread.

    most: how many threads are worth it. There are no more than torch may use (`torch.set_num_threads`,
    OMP_NUM_THREADS); the first run is computed in the caller's.
    """
    threads = min(count, most, torch.get_num_threads())
    if threads < 2:
        return [part(0, count)]
    ends = [count * i // threads for i in range(threads + 1)]
    # A process that was forked has none of the threads: it makes its own.
    others = [_pool(os.getpid()).submit(part, *run) for run in pairwise(ends[1:])]
    return [part(0, ends[1]), *(other.result() for other in others)]


@functools.cache
def _pool(process: int) -> ThreadPoolExecutor:
    """Threads are made as they are needed, and wait for more."""
    return ThreadPoolExecutor(os.cpu_count(), thread_name_prefix=f"lowbit-{process}")
