"""Copies of a model to try things on."""

from __future__ import annotations

import copy
from typing import Any, TypeVar

from torch import Tensor, nn

from ..errors import UserError

M = TypeVar("M", bound=nn.Module)


def copied(model: M) -> M:
    """A deep copy of the model. Raises UserError for a model that has none.

    Tensors that a hook computes anew for each forward, such as a pruned weight, are copied as values: torch copies no
    tensor that has a history.
    """
    made = [value for module in model.modules() for value in vars(module).values() if _has_history(value)]
    try:
        return copy.deepcopy(model, {id(tensor): tensor.detach().clone() for tensor in made})
    except Exception as error:  # whatever the objects that the model holds raise
        fix = "give those objects a __deepcopy__, or make them when the model runs; run lazy modules once"
        raise UserError("the model cannot be copied", why=str(error).split(".  ")[0], fix=fix) from error


def _has_history(value: Any) -> bool:
    return isinstance(value, Tensor) and not value.is_leaf
