"""Why a module cannot be captured: the user's line, the cause in one sentence, and the usual way round."""

from __future__ import annotations

import itertools
import linecache
import os
import re
import sys
import sysconfig
import traceback
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from types import FrameType

import torch
from torch import fx, nn

from ..errors import UserError
from .causes import Failure, explained
from .kinds import definition

TORCH = os.path.dirname(torch.__file__) + os.sep
_LOWBIT = os.path.dirname(os.path.dirname(__file__)) + os.sep
EXPORT = os.path.join(os.path.dirname(__file__), "export.py")
"""From where the model is run: what lies further out is not its code."""
_PYTHON = sysconfig.get_paths()["stdlib"] + os.sep
_FRAME = re.compile(r'File "([^"]+)", line (\d+), in [^\n]*\n\s+([^\n]*)')


@dataclass(frozen=True)
class Place:
    """A line of the user's, and the path of the innermost module that ran there; '' is the model."""

    layer: str
    line: str

    def __str__(self) -> str:
        if not self.layer or not self.line:
            return self.line or self.layer
        position, _, text = self.line.partition("  ")
        return f"{self.layer} ({position})  {text}".rstrip()


def refusal(
    error: Exception, model: nn.Module, shapes: Sequence[tuple[int, ...]], alone: Exception | None = None
) -> UserError:
    """What to tell of a failed export.   alone: what the model itself raises on these inputs, without torch.export."""
    # Importing dynamo takes as long as importing torch, and a program that only runs a file needs none of it.
    from torch._dynamo.exc import UncapturedHigherOrderOpError

    # Torch 2.11 compiles a torch.cond that runs without export, and fails on it alike: that says more.
    if alone is not None and not isinstance(alone, UncapturedHigherOrderOpError):
        shown = ", ".join(map(str, shapes)) or "none"
        return UserError(
            "the model itself fails on the example inputs",
            where=str(place(alone, model)),
            why=f"{type(alone).__name__}: {_first(alone)}",
            fix=f"give inputs on which the module runs; these had the shapes {shown}",
        )
    at = place(error, model)
    why, fix = explained(Failure(error, _first(error), model, at.layer))
    return UserError("the model cannot be captured", where=str(at), why=why, fix=fix)


def refusal_of_call(node: fx.Node) -> UserError:
    """Of a call in an exported graph that runs functions of the user's."""
    name = getattr(node.target, "__name__", str(node.target))
    known = isinstance(node.target, torch._ops.HigherOrderOperator)
    what = name.removesuffix("_impl") if known else "torch.vmap or torch.func"
    at = place_of(node)
    fix = "write it out with torch operators" + ("" if known else ", over the whole batch")
    leaf = f", or keep the module out of the graph with leaves = ['{at.layer}']" if at.layer else ""
    return UserError(
        f"{what} cannot be captured",
        where=str(at),
        why=f"it runs a function of the model's {_HOW.get(what, 'in a way that no list of calls can hold')}",
        fix=f"{fix}{leaf}, or capture the parts around it with capture_islands",
    )


_HOW = {
    "while_loop": "as often as the values say",
    "scan": "once for each row, each reading what the last one returned",
    "map": "once for each row",
}


def place_of(node: fx.Node) -> Place:
    """The user's line that an exported call was recorded at."""
    stack = node.meta.get("nn_module_stack") or {}
    layer = next(reversed(stack.values()))[0].split("@")[0] if stack else ""
    return Place(layer, recorded_line(node))


def place(error: BaseException, model: nn.Module) -> Place:
    """Where the user's code raised it; the line of the model's `forward` where no line of the user's was running."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    return Place(layer_of(frames, model), user_line(error) or _definition(model))


def user_line(error: BaseException) -> str:
    """`file:line  text` of the innermost line that is neither torch's, Python's nor lowbit's; '' without one."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if is_user(frame.filename)]
    return f"{own[-1].filename}:{own[-1].lineno}  {own[-1].line}" if own else ""


def here(model: nn.Module) -> str:
    """The innermost line of the user's that is running, with the path of its module; '' if none is."""
    own = running()
    if own is None:
        return ""
    name, line = own.f_code.co_filename, own.f_lineno
    outer_first = reversed(list(_inner_frames()))
    return str(Place(layer_of(outer_first, model), f"{name}:{line}  {linecache.getline(name, line).strip()}"))


def running() -> FrameType | None:
    """The innermost frame of the user's code within the export that is going on."""
    return next((frame for frame in _inner_frames() if is_user(frame.f_code.co_filename)), None)


def _inner_frames() -> Iterator[FrameType]:
    """Innermost first, from where torch called lowbit to where the model is run."""
    inner = itertools.dropwhile(lambda frame: frame.f_code.co_filename.startswith(_LOWBIT), _frames(sys._getframe(1)))
    return itertools.takewhile(lambda frame: frame.f_code.co_filename != EXPORT, inner)


def layer_of(frames: Iterable[FrameType], model: nn.Module) -> str:
    """The path of the innermost module of the model among the frames, outermost first."""
    names = {id(module): name for name, module in model.named_modules()}
    found = [names[id(owner)] for frame in frames if id(owner := frame.f_locals.get("self")) in names]
    return found[-1] if found else ""


def is_user(filename: str) -> bool:
    """Whether a file is the user's or of a library of models. Lines of generated code are in no file."""
    if "site-packages" in filename and filename.startswith(_PYTHON):
        return not filename.startswith((TORCH, _LOWBIT))
    return not filename.startswith((TORCH, _LOWBIT, _PYTHON, "<"))


def recorded_frames(node: fx.Node) -> list[tuple[str, str, str]]:
    """(file, line, text) of every frame that torch recorded with a node, the innermost last."""
    return _FRAME.findall(node.meta.get("stack_trace") or "")


def recorded_line(node: fx.Node) -> str:
    """`file:line  text` of the user's line that a node was recorded at."""
    own = [frame for frame in recorded_frames(node) if is_user(frame[0])]
    return f"{own[-1][0]}:{own[-1][1]}  {own[-1][2]}" if own else ""


def _frames(frame: FrameType | None) -> Iterator[FrameType]:
    """Innermost first."""
    while frame is not None:
        yield frame
        frame = frame.f_back


def _definition(model: nn.Module) -> str:
    line = definition(model)
    return line if line and is_user(line) else ""


def _first(error: BaseException) -> str:
    """The first line of a message, without torch's advice to call something else."""
    text = str(error).strip().split("\n")[0]
    return text if len(text) <= 300 else text[:297] + "..."
