"""Watches whether a model sets or reads the state of torch's generator while it is exported: no graph holds that."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import torch

from .refusal import is_user

_CALLS = ("manual_seed", "seed", "initial_seed", "set_rng_state")
"""Of torch and of torch.random."""
_WITHIN = (torch.random.__file__, contextlib.__file__)
"""Between these calls and the user's line, as in fork_rng."""


@contextlib.contextmanager
def seeding(here: Callable[[], str]) -> Iterator[list[tuple[str, str]]]:
    """Collects (call, line) of what the user's code calls; without a line if the state moved otherwise.

    here: tells the user's line that is running.
    """
    found: list[tuple[str, str]] = []
    before = torch.get_rng_state()

    def noted(name: str, kept: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            if _is_asked_by_user():
                found.append((f"torch.{name}", here()))
            return kept(*args, **kwargs)

        return call

    with contextlib.ExitStack() as stack:
        for owner in (torch, torch.random):
            for name in _CALLS:
                stack.enter_context(mock.patch.object(owner, name, noted(name, getattr(torch, name))))
        yield found
    if not found and not torch.equal(before, torch.get_rng_state()):
        found.append(("torch.default_generator", ""))
        torch.set_rng_state(before)


def _is_asked_by_user() -> bool:
    """Whether the call comes from the user's code, or fork_rng there: torch itself puts states back as it traces."""
    frame = sys._getframe(2)
    while frame.f_code.co_filename in _WITHIN and frame.f_back is not None:
        frame = frame.f_back
    return is_user(frame.f_code.co_filename)
