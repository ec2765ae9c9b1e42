"""Watches whether a model sets or reads the state of torch's generator while it is exported: no graph holds that."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import torch

from .questions import is_asked_by_user

_CALLS = ("manual_seed", "seed", "initial_seed", "set_rng_state")
"""Of torch and of torch.random."""


@contextlib.contextmanager
def seeding(here: Callable[[], str]) -> Iterator[list[tuple[str, str]]]:
    """Collects (call, line) of what the user's code calls; without a line if the state moved otherwise.

    here: tells the user's line that is running.
    """
    found: list[tuple[str, str]] = []
    before = torch.get_rng_state()

    def noted(name: str, kept: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            if is_asked_by_user():
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
