"""The lines and modules that torch.export records with calls and guards: the user's, wherever they are written."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from importlib import import_module
from traceback import StackSummary
from typing import Any
from unittest import mock

from torch import fx, nn
from torch.fx import traceback
from torch.fx.experimental.symbolic_shapes import ShapeEnv
from torch.fx.proxy import TracerBase

from .refusal import EXPORT, is_user, running

_COND: Any = import_module("torch._higher_order_ops.cond")  # of which an attribute of its package hides the name
_CALLS, _GUARDS = "_filter_traceback_frames", "_get_user_frame"


@contextlib.contextmanager
def every_line(model: nn.Module) -> Iterator[None]:
    """Let exports record the user's lines that were running, in whatever function: torch keeps those of `forward`.

    Of a guard on a size it is the innermost one, where torch would take a line of its own. Calls in the sides of a
    torch.cond keep their lines and modules too, where torch would take those of generated code.
    """
    with contextlib.ExitStack() as stack:
        for owner, name, made in ((TracerBase, _CALLS, _frames_of_call), (ShapeEnv, _GUARDS, _frame_of_guard)):
            if hasattr(owner, name):  # in another version of torch the lines are fewer
                stack.enter_context(mock.patch.object(owner, name, made(getattr(owner, name))))
        stack.enter_context(mock.patch.object(_COND, "reenter_make_fx", _keeping_places(_COND.reenter_make_fx, model)))
        yield


def _keeping_places(kept: Any, model: nn.Module) -> Any:
    """`reenter_make_fx`, which traces a side that is a graph already, with the places of that graph."""
    paths = {str(id(module)): path for path, module in model.named_modules()}

    def reenter(side: Any, *args: Any, **kwargs: Any) -> Any:
        if not isinstance(side, fx.GraphModule):
            return kept(side, *args, **kwargs)
        for node in side.graph.nodes:
            stack = (node.meta.get("nn_module_stack") or {}).items()  # by the numbers of the modules
            known = ((key.partition("@")[0], kind) for key, (_, kind) in stack)  # @1 is the second call
            node.meta["nn_module_stack"] = {key: (paths[key], kind) for key, kind in known if key in paths}

        def run(*given: Any) -> Any:
            with traceback.preserve_node_meta():
                return fx.Interpreter(side).run(*given)

        return kept(run, *args, **kwargs)

    return reenter


def _frames_of_call(kept: Any) -> Any:
    def own(tracer: TracerBase, frames: StackSummary) -> Any:
        first = max((i for i, frame in enumerate(frames) if frame.filename == EXPORT), default=-1) + 1
        found = [frame for frame in frames[first:] if is_user(frame.filename)]
        return StackSummary.from_list(found) if found else kept(tracer, frames)

    return own


def _frame_of_guard(kept: Any) -> Any:
    return lambda env: running() or kept(env)
