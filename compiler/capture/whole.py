"""Capture of a whole module: exported in train mode with a dynamic batch, made plain, compared with the module."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import fx, nn
from torch.utils import _pytree as pytree

from ..errors import UserError
from ..graph import OWN, Graph
from ..verify import verify as verify_graph
from .export import export, refuse_branches
from .fidelity import check_fidelity
from .plain import plain

_EXPORTED = fx.GraphModule(nn.Module(), fx.Graph())


def capture(
    model: nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any] | None = None, verify: bool = True
) -> Graph:
    """Capture a module as a training graph over its own parameters and buffers.

    args, kwargs: example inputs; the first axis of every tensor is the batch, which becomes symbolic. A batch of 1 is
    doubled, since torch.export would fix it.   verify: compare outputs, buffers, gradients and the eval mode with the
    module on these inputs.   Raises UserError with the user's line where the module cannot be captured.
    """
    _refuse_names(model)
    given: tuple[tuple[Any, ...], dict[str, Any]] = (tuple(args), dict(kwargs or {}))
    positional, named = pytree.tree_map_only(torch.Tensor, _at_least_two, given)
    modes = {module: module.training for module in model.modules()}
    model.train()
    try:
        positional, named = _ordered(model, positional, named)
        program = export(model, positional, named)
        refuse_branches(program)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            exported = program.module(check_guards=False)
        graph = plain(exported, model)
        verify_graph(graph, "capture")
        if verify:
            check_fidelity(graph, model, positional, named)
    finally:
        for module, training in modes.items():
            module.training = training
    return graph


def _refuse_names(model: nn.Module) -> None:
    """Refuse a part that torch.export would fail on, whose result is a GraphModule, or that passes would mix up."""
    parts = [name for names in (model._modules, model._parameters, model._buffers) for name in names]
    for name in parts:
        if hasattr(_EXPORTED, name) or name in ("_guards_fn", OWN):
            raise UserError(f"the model has a part called '{name}'", fix="give that attribute another name")


def _at_least_two(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor, twice if it is a batch of one; its own copy, since export takes one tensor given twice for one."""
    own = tensor.detach().clone()
    return torch.cat([own, own]) if own.dim() and own.shape[0] == 1 else own


def _ordered(model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments in the order of the model's signature, by position where it allows that."""
    try:
        bound = inspect.signature(model.forward).bind(*args, **kwargs)
    except TypeError as error:
        raise UserError("the model takes other arguments", why=str(error), fix="give what `forward` takes") from None
    return bound.args, bound.kwargs
