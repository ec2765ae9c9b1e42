"""Copies of a model to try things on."""

from __future__ import annotations

import copy
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
    scripted = [path for path, module in model.named_modules() if isinstance(module, torch.jit.ScriptModule)]
    if scripted:
        fix = "put the module itself there, not its script"
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


def _has_history(value: Any) -> bool:
    return isinstance(value, Tensor) and not value.is_leaf
