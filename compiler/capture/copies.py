"""Copies of a model to try things on."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from ..errors import UserError
from .example import Example

M = TypeVar("M", bound=nn.Module)


def copied(model: M) -> M:
    """A deep copy of the model. Raises UserError for a model that has none.

    Tensors that a hook computes anew for each forward, such as a pruned weight, are copied as values: torch copies no
    tensor that has a history.
    """
    scripted = list(_scripts(model))
    if scripted:
        fix = "put the module or the function itself there, not its script"
        raise UserError(
            "a part of the model is scripted", where=scripted[0], why="torch copies no script that trains", fix=fix
        )
    made = [value for module in model.modules() for value in vars(module).values() if _has_history(value)]
    try:
        return copy.deepcopy(model, {id(tensor): tensor.detach().clone() for tensor in made})
    except Exception as error:  # whatever the objects that the model holds raise
        fix = "give those objects a __deepcopy__, or make them when the model runs; run lazy modules once"
        raise UserError("the model cannot be copied", why=str(error).split(".  ")[0], fix=fix) from error


def grown(model: nn.Module, example: Example) -> bool:
    """Whether the first forward makes buffers of another shape, as those are that wait for an input to know their size.

    The model takes them over, as if it had run once; nothing else of it changes.
    """
    twin = copied(model)
    try:
        example.tried(twin)
    except Exception:  # whatever the user's code raises
        return False
    found = False
    for path, module in twin.named_modules():
        owner = model.get_submodule(path)._buffers
        for name, buffer in module._buffers.items():
            before = owner.get(name)
            if before is not None and buffer is not None and before.shape != buffer.shape:
                owner[name], found = buffer, True
    return found


def restorer(*modules: nn.Module) -> Callable[[], None]:
    """What puts buffers, and tensors that are plain attributes, back as they are now: the objects and their values."""
    owners = {id(owner): owner for module in modules for owner in module.modules()}.values()
    tables = [table for owner in owners for table in (owner._buffers, vars(owner))]
    kept = [(table, {name: x for name, x in table.items() if isinstance(x, Tensor)}) for table in tables]
    values = [(tensor, tensor.detach().clone()) for _, own in kept for tensor in own.values()]

    def restore() -> None:
        for table, own in kept:
            table.update(own)
        for tensor, before in values:
            tensor.data.copy_(before)

    return restore


def _scripts(model: nn.Module) -> Iterator[str]:
    """The paths of scripted modules and functions."""
    for path, module in model.named_modules():
        if isinstance(module, torch.jit.ScriptModule):
            yield path
        else:
            functions = [name for name, x in vars(module).items() if isinstance(x, torch.jit.ScriptFunction)]
            yield from (f"{path}.{name}".lstrip(".") for name in functions)


def _has_history(value: Any) -> bool:
    return isinstance(value, Tensor) and not value.is_leaf
