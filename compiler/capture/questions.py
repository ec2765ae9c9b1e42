"""Watches what a model asks torch while it is exported, where the answer may be another one when the graph runs."""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import torch

from .refusal import is_user

_BETWEEN = (torch.random.__file__, contextlib.__file__)
"""Between a call and the user's line, as in fork_rng."""


@contextlib.contextmanager
def asking_for_autocast(here: Callable[[], str]) -> Iterator[list[str]]:
    """Collects the lines of the user's that ask, outside of any block of autocast, whether one is on.

    A block of the model's own answers for good; what is around the graph is known when it runs.
    here: tells the user's line that is running.
    """
    importlib.import_module("torch._dynamo")  # its table of what it may call must not hold what stands in here
    found: list[str] = []
    kept = torch.is_autocast_enabled

    def asked(*args: Any, **kwargs: Any) -> bool:
        if is_asked_by_user() and not _within_autocast():
            found.append(here())
        return kept(*args, **kwargs)

    with mock.patch.object(torch, "is_autocast_enabled", asked):
        yield found


def is_asked_by_user() -> bool:
    """Whether the call of the caller comes from the user's code; torch itself asks and sets much as it traces."""
    frame = sys._getframe(2)
    while frame.f_code.co_filename in _BETWEEN and frame.f_back is not None:
        frame = frame.f_back
    return is_user(frame.f_code.co_filename)


def _within_autocast() -> bool:
    depth = torch.autocast_increment_nesting() - 1
    torch.autocast_decrement_nesting()
    return depth > 0
