"""The line recorded with each call of an export: the user's, in whatever function; torch keeps those of `forward`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from traceback import StackSummary
from typing import Any
from unittest import mock

from torch.fx.proxy import TracerBase

from .refusal import EXPORT, is_user

_FILTER = "_filter_traceback_frames"


@contextlib.contextmanager
def every_line() -> Iterator[None]:
    """Let exports record all of the user's lines that were running, the innermost last."""
    kept = getattr(TracerBase, _FILTER, None)
    if kept is None:  # another version of torch, with lines of `forward` alone
        yield
        return

    def own(tracer: TracerBase, frames: StackSummary) -> Any:
        first = max((i for i, frame in enumerate(frames) if frame.filename == EXPORT), default=-1) + 1
        found = [frame for frame in frames[first:] if is_user(frame.filename)]
        return StackSummary.from_list(found) if found else kept(tracer, frames)

    with mock.patch.object(TracerBase, _FILTER, own):
        yield
