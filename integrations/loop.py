"""What a training loop does for the prepared modules in its model: a loss more, groups of their own, a step more."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from ..compiler.errors import UserError
from ..compiler.graph import OWN
from ..compiler.training.scalars import parts


def prepared_parts(model: nn.Module) -> list[Any]:
    """The prepared modules in the model. Raises UserError where there is none."""
    found = parts(model)
    if not found:
        fix = "put what lowbit.prepare(model, inputs, recipe) returns into it"
        raise UserError(f"the {type(model).__name__} holds no prepared module", fix=fix)
    return found


def regularization(model: nn.Module) -> Tensor:
    """The penalties of all prepared modules, to be added to the loss of the task."""
    return torch.stack([part.regularization() for part in prepared_parts(model)]).sum()


def step(model: nn.Module) -> None:
    """Advance the schedules of all prepared modules: once after each step of the optimizer."""
    for part in prepared_parts(model):
        part.step()


def parameter_groups(model: nn.Module, lr: float, weight_decay: float = 0.0) -> list[dict[str, Any]]:
    """Groups for an optimizer: those of each prepared module (see Prepared.parameter_groups), and all the rest.

    A parameter that does not require a gradient is in none.
    """
    groups = [group for part in prepared_parts(model) for group in part.parameter_groups(lr, weight_decay)]
    known = {id(parameter) for group in groups for parameter in group["params"]}
    rest = [p for p in model.parameters() if id(p) not in known and p.requires_grad]
    return groups + ([{"name": "rest", "params": rest, "lr": lr, "weight_decay": weight_decay}] if rest else [])


def check_groups(model: nn.Module, optimizers: Iterable[torch.optim.Optimizer], fix: str) -> None:
    """Raise UserError where weight decay would pull at a scale, a range, a bit width or a coefficient."""
    own = dict(_own(model))
    for group in (group for optimizer in optimizers for group in optimizer.param_groups):
        decayed = [own[id(p)] for p in group["params"] if id(p) in own] if group.get("weight_decay") else []
        if decayed:
            what = f"weight decay of {group['weight_decay']:g} on '{decayed[0]}'"
            raise UserError(what, why="it is no weight: decay would draw it to an arbitrary 0", fix=fix)


def _own(model: nn.Module) -> Iterator[tuple[int, str]]:
    for part in prepared_parts(model):
        yield from ((id(p), name) for name, p in part.named_parameters() if name.startswith(f"{OWN}."))
