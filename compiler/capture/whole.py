"""Capture of a whole module: exported in train mode with a dynamic batch, made plain, compared with the module."""

from __future__ import annotations

import contextlib
import keyword
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from torch import fx, nn

from ..autocast import without_autocast
from ..errors import UserError
from ..graph import OWN, Graph
from ..modes import in_mode
from .copies import grown
from .differences import refusal_of_difference
from .evaluation import with_evaluation
from .example import Example
from .fidelity import Fidelity
from .kinds import refuse_kinds
from .traced import Wanted, traced
from .witness import Witness

_EXPORTED = fx.GraphModule(nn.Module(), fx.Graph())


def capture(
    model: nn.Module,
    args: Sequence[Any],
    kwargs: Mapping[str, Any] | None = None,
    verify: bool = True,
    leaves: Sequence[str] = (),
) -> Graph:
    """Capture a module as a training graph over its own parameters and buffers.

    args, kwargs: example inputs; the first axis of every tensor is the batch, which becomes symbolic. A batch of 1 is
    doubled, since torch.export would fix it. Where the model fixes its batch, so does the graph, with a warning.
    verify: compare outputs, buffers, gradients and the eval mode with the module on these inputs; where eval mode is
    more than flags on the training graph, capture a second graph for it.
    leaves: patterns of module paths that stay opaque; the graph calls those modules.
    A model is captured in train mode; one that is so already, with parts in eval mode, as it is: they stay frozen.
    Raises UserError with the user's line where the module cannot be captured.
    """
    return captured(model, Example.of(model, args, kwargs or {}), verify, Wanted(tuple(leaves)))


def captured(model: nn.Module, example: Example, verify: bool, wanted: Wanted) -> Graph:
    """As `capture`, from an example as it is."""
    _refuse_names(model)
    refuse_kinds(model, example.args, example.kwargs)
    frozen = model.training and not all(module.training for module in model.modules())
    with contextlib.nullcontext() if frozen else in_mode(model, True), without_autocast():
        try:
            graph, seen = traced(model, example, wanted)
            if verify:
                return _checked(graph, model, example, wanted, seen)
            if seen.branches:
                graph = _with_evaluation(graph, model, example, wanted)
        except UserError:
            if not grown(model, example):
                raise
            return captured(model, example, verify, wanted)
    for function in seen.functions:
        warnings.warn(f"nobody has compared the gradient of '{function.name}' at {function.where}", stacklevel=3)
    return graph


def _checked(graph: Graph, model: nn.Module, example: Example, wanted: Wanted, seen: Witness) -> Graph:
    """The graph, with a second one for eval mode if it needs that. Raises UserError where it differs from the model."""
    fidelity = Fidelity(graph, model, example)
    if name := fidelity.in_training():
        raise refusal_of_difference(name, seen, model, example)
    for name in fidelity.counters():
        where = next((kept.where for kept in seen.assigned if kept.name == name), "")
        what = f"the model changes its attribute '{name}' in every call, and the graph holds the number of the capture"
        warnings.warn(f"{what}\n  at   {where}" if where else what, stacklevel=4)
    # What is drawn in training alone may have come out as in eval mode by chance.
    if seen.branches or fidelity.in_eval(graph):
        graph = _with_evaluation(graph, model, example, wanted)
        if name := fidelity.in_eval(graph):
            raise refusal_of_difference(name, seen, model, example)
    return graph


def _with_evaluation(graph: Graph, model: nn.Module, example: Example, wanted: Wanted) -> Graph:
    with in_mode(model, False):
        return with_evaluation(graph, model, example, wanted)


def _refuse_names(model: nn.Module) -> None:
    """Refuse a part that torch.export would fail on, whose result is a GraphModule, or that passes would mix up."""
    parts = [name for names in (model._modules, model._parameters, model._buffers) for name in names]
    for name in parts:
        if hasattr(_EXPORTED, name) or name in ("_guards_fn", OWN):
            raise UserError(f"the model has a part called '{name}'", fix="give that attribute another name")
    for path, part in model.named_modules():
        children, tensors = part.named_children(), (*part.named_parameters("", False), *part.named_buffers("", False))
        for name, _ in (*children, *tensors):
            if keyword.iskeyword(name) or not name or "." in name:
                fix = "give that attribute another name, one that Python takes"
                raise UserError(f"a module has a part called '{name}'", where=path, fix=fix)
