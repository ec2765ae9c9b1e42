"""The lines that torch.export records with calls and with guards: the user's, wherever they are written."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from traceback import StackSummary
from typing import Any
from unittest import mock

from torch.fx.experimental.symbolic_shapes import ShapeEnv
from torch.fx.proxy import TracerBase

from .refusal import EXPORT, is_user, running

_CALLS, _GUARDS = "_filter_traceback_frames", "_get_user_frame"


@contextlib.contextmanager
def every_line() -> Iterator[None]:
    """Let exports record the user's lines that were running, in whatever function: torch keeps those of `forward`.

    Of a guard on a size it is the innermost one, where torch would take a line of its own.
    """
    with contextlib.ExitStack() as stack:
        for owner, name, made in ((TracerBase, _CALLS, _frames_of_call), (ShapeEnv, _GUARDS, _frame_of_guard)):
            if hasattr(owner, name):  # in another version of torch the lines are fewer
                stack.enter_context(mock.patch.object(owner, name, made(getattr(owner, name))))
        yield


def _frames_of_call(kept: Any) -> Any:
    def own(tracer: TracerBase, frames: StackSummary) -> Any:
        first = max((i for i, frame in enumerate(frames) if frame.filename == EXPORT), default=-1) + 1
        found = [frame for frame in frames[first:] if is_user(frame.filename)]
        return StackSummary.from_list(found) if found else kept(tracer, frames)

    return own


def _frame_of_guard(kept: Any) -> Any:
    return lambda env: running() or kept(env)
