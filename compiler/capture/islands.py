"""Islands: where the whole model cannot be captured, the largest submodules that can; plain Python stays between."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from ..arguments import Arguments
from ..errors import UserError
from ..graph import Graph
from ..modes import in_mode
from .copies import copied
from .example import Example
from .traced import Wanted
from .whole import captured


@dataclass
class Islands:
    """What was captured of a model.

    graphs: by module path.   examples: what each was captured on.   left: path -> why that module stays plain Python.
    """

    graphs: dict[str, Graph] = field(default_factory=dict)
    examples: dict[str, Example] = field(default_factory=dict)
    left: dict[str, UserError] = field(default_factory=dict)


def islands(
    model: nn.Module,
    args: Sequence[Any],
    kwargs: Mapping[str, Any] | None = None,
    verify: bool = True,
    any_size: bool = True,
) -> Islands:
    """Capture the largest submodules that can be captured, on what they are given in one training forward.

    args, kwargs, verify: as of `capture`.   any_size: every axis of their inputs may have another size later, as far
    as torch.export can tell, and not the first alone.
    Raises UserError when the model does not run, or no part of it can be captured.
    """
    with in_mode(model, True):
        calls = _observed(model, Example.of(model, args, kwargs or {}))
        found = Islands()
        for name, part in model.named_children():
            _search(name, part, calls, found, How(verify, Wanted(any_size=any_size)))
    if not found.graphs:
        raise _nothing(found)
    return found


@dataclass(frozen=True)
class How:
    """The way in which every part is captured."""

    verify: bool
    wanted: Wanted


def _search(path: str, part: nn.Module, calls: Mapping[str, list[Example]], found: Islands, how: How) -> None:
    """Capture this module, or what can be captured below it."""
    if next(part.parameters(), None) is None:
        return
    if path in calls:
        try:
            found.graphs[path] = _island(part, calls[path], how)
            found.examples[path] = calls[path][0]
            return
        except UserError as error:
            found.left[path] = error
    for name, below in part.named_children():
        _search(f"{path}.{name}", below, calls, found, how)


def _island(part: nn.Module, calls: Sequence[Example], how: How) -> Graph:
    graph = captured(part, calls[0], how.verify, how.wanted)
    arguments = Arguments(graph)
    for call in calls:
        arguments.flat(call.args, call.kwargs)  # refuses a call of another form
    return graph


def _observed(model: nn.Module, example: Example) -> dict[str, list[Example]]:
    """What each submodule is given, by path: in a training forward first, then in eval mode and for a larger batch."""
    calls: dict[str, list[Example]] = defaultdict(list)
    _watch(copied(model), example, calls)
    _watch(copied(model).eval(), example, calls)
    with contextlib.suppress(Exception):  # the model may take this batch alone
        _watch(copied(model), example.grown(), calls)
    return calls


def _watch(model: nn.Module, example: Example, calls: dict[str, list[Example]]) -> None:
    def watch(path: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: Any, kwargs: Any) -> None:
            given = pytree.tree_map_only(Tensor, lambda x: x.detach().clone(), (args, kwargs))
            calls[path].append(Example.bound(module, *given))

        return hook

    for path, module in model.named_modules():
        if not isinstance(module, torch.jit.ScriptModule):  # which takes no such hook
            module.register_forward_pre_hook(watch(path), with_kwargs=True)
    example.tried(model)


def _nothing(found: Islands) -> UserError:
    reasons = "\n".join(f"{path}: {error.what}" for path, error in list(found.left.items())[:5])
    return UserError("no part of the model can be captured", why=reasons or "no submodule has parameters and is called")
