"""What torch.export takes as arguments of a model, and what to give in place of anything else."""

from __future__ import annotations

import dataclasses
import enum
import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from ..errors import UserError

_TAKEN = (Tensor, bool, int, float, str, type(None), torch.ScriptObject, torch.SymInt, torch.SymFloat, torch.SymBool)


def refuse_kinds(model: nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
    """Raise UserError, naming it, for an argument that torch.export does not take."""
    for name, value in inspect.signature(model.forward).bind(*args, **kwargs).arguments.items():
        odd = next((x for x in pytree.tree_leaves(value) if not isinstance(x, _TAKEN)), None)
        if odd is not None:
            what = f"the argument '{name}' {'is' if odd is value else 'holds'} a {type(odd).__name__}"
            why = "torch.export takes tensors, numbers and strings, in tuples, lists, dicts and registered classes"
            raise UserError(what, where=definition(model), why=why, fix=_instead(odd))


def definition(model: nn.Module) -> str:
    """`file:line` of the model's forward, where it has one in a file."""
    code: Any = getattr(type(model).forward, "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}" if code else ""


def _instead(odd: Any) -> str:
    kind = type(odd).__name__
    if isinstance(odd, enum.Enum):
        return f"give {odd}.value, or choose when the model is built"
    if isinstance(odd, np.ndarray | np.generic):
        return "give a tensor, as torch.from_numpy makes one"
    if isinstance(odd, torch.device | torch.dtype):
        return "choose it when the model is built, or read it from a tensor, as in x.to(y)"
    if dataclasses.is_dataclass(odd):
        return f"call torch.export.register_dataclass({kind}) before"
    if isinstance(odd, dict | list | tuple):
        return f"give a plain {next(base.__name__ for base in (dict, list, tuple) if isinstance(odd, base))}"
    if inspect.isroutine(odd) or isinstance(odd, nn.Module):
        return "make it an attribute of the model"
    return f"give what the model reads of the {kind} as arguments of their own"
