"""The lines at which a model changes what it keeps, or takes another way: it runs once more, watched step by step."""

from __future__ import annotations

import contextlib
import itertools
import linecache
import sys
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn

from .copies import copied
from .example import Example
from .refusal import Place, is_user


def containers(value: Any, seen: tuple[int, ...] = ()) -> Iterator[Any]:
    """A list, dict, set or plain tensor, and those within it."""
    if isinstance(value, list | dict | set | Tensor) and id(value) not in seen:
        yield value
        inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        for part in inner:
            yield from containers(part, (*seen, id(value)))


def content(value: Any) -> Any:
    """What `is_unchanged` compares with later."""
    return value.detach().clone() if isinstance(value, Tensor) else value.copy()


def is_unchanged(value: Any, before: Any) -> bool:
    """Whether nothing was put in, taken out or written."""
    if isinstance(value, Tensor):
        return value.shape == before.shape and torch.equal(value.detach(), before)
    if isinstance(value, set):
        return bool(value == before)
    ours, theirs = (list(x.items()) if isinstance(x, dict) else list(enumerate(x)) for x in (value, before))
    pairs = zip(ours, theirs, strict=False)
    return len(ours) == len(theirs) and all(a == b and x is y for (a, x), (b, y) in pairs)


def line_of_change(model: nn.Module, example: Example, name: str) -> str:
    """`path (file:line)  text` of the user's line that changes this attribute on these inputs; '' if none is seen."""
    path, _, attribute = name.rpartition(".")
    twin = copied(model)
    value = twin.get_submodule(path).__dict__.get(attribute)
    watched = [(part, content(part)) for part in containers(value)]
    found: list[str] = []
    last = ""

    def watch(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal last
        if found or not is_user(frame.f_code.co_filename):
            return None
        if last and not all(is_unchanged(part, before) for part, before in watched):
            found.append(last)
        caller = frame.f_back
        if event == "return":
            last = _shown(caller) if caller is not None and is_user(caller.f_code.co_filename) else last
        else:
            last = _shown(frame)
        return watch

    with _tracing(watch), contextlib.suppress(Exception):  # whatever the user's code raises
        example.tried(twin)
    return str(Place(path, found[0])) if found else ""


Run = Callable[[nn.Module], Any]


def line_of_parting(model: nn.Module, one: Run, other: Run) -> str:
    """`file:line  text` of the user's line after which the model does something else in the other run; '' if none."""
    ways = [_way(copied(model), run) for run in (one, other)]
    last = ""
    for (first, shown), (second, _) in itertools.zip_longest(*ways, fillvalue=(None, "")):
        if first != second:
            return last
        last = shown
    return ""


def _way(model: nn.Module, run: Run) -> list[tuple[Any, str]]:
    """Each step of the user's code, with its line."""
    steps: list[tuple[Any, str]] = []

    def watch(frame: FrameType, event: str, _: Any) -> Any:
        if not is_user(frame.f_code.co_filename):
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            steps.append(((frame.f_code, frame.f_lasti), _shown(frame)))
        return watch

    with _tracing(watch), contextlib.suppress(Exception):  # whatever the user's code raises
        run(model)
    return steps


def _shown(frame: FrameType) -> str:
    name, line = frame.f_code.co_filename, frame.f_lineno
    return f"{name}:{line}  {linecache.getline(name, line).strip()}"


@contextlib.contextmanager
def _tracing(watch: Callable[[FrameType, str, Any], Any]) -> Iterator[None]:
    kept = sys.gettrace()  # of a debugger
    sys.settrace(watch)
    try:
        yield
    finally:
        sys.settrace(kept)
