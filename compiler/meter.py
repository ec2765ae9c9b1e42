"""Meter: whoever listens is told what long work goes on, and how far it is. As a rule nobody does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeAlias, TypeVar

T = TypeVar("T")
Listener: TypeAlias = Callable[[str, int, int], None]
"""Told the work, how many of its steps are done and how many there are; 0 of 0 where that is not known."""
_listener: ContextVar[Listener | None] = ContextVar("listener", default=None)


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Within it, the listener is told; what listened before is told again behind it."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


def tell(work: str, done: int = 0, total: int = 0) -> None:
    """Tell whoever listens."""
    if (listener := _listener.get()) is not None:
        listener(work, done, total)


def counted(work: str, steps: Sequence[T]) -> Iterator[T]:
    """The steps, each told before it is taken."""
    for done, step in enumerate(steps):
        tell(work, done, len(steps))
        yield step
