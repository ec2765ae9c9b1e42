"""Why a graph differs from its model: the cause, the user's line, and the way round."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any
from unittest import mock

import torch
from torch import nn

from ..errors import UserError
from ..modes import in_mode
from ..randomness import seeded
from .changes import line_of_change, line_of_parting
from .closeness import EVAL, difference
from .copies import copied
from .example import Example
from .fidelity import ALONE, STRIDED, outputs, plain_attention
from .witness import Witness, refusal_of_function


def refusal_of_difference(name: str, seen: Witness, model: nn.Module, example: Example) -> UserError:
    """name: what differs, as Fidelity tells it.   seen: what was watched while the model was exported."""
    if seen.functions and name.startswith("the gradient"):
        return refusal_of_function(seen.functions[0])
    if name.endswith(ALONE):
        return UserError(
            "the model branches on the batch size",
            where=line_of_parting(model, example.tried, example.first().tried),
            why=f"it computes something else{ALONE}: {name.removesuffix(ALONE)} differs",
            fix="compute the same for every batch size",
        )
    if name.endswith(STRIDED):
        return UserError(
            "the model branches on how its inputs lie in memory",
            where=line_of_parting(model, example.tried, (example.strided() or example).tried),
            why=f"it computes something else{STRIDED}: {name.removesuffix(STRIDED)} differs",
            fix="compute the same for all strides, as of x.contiguous()",
        )
    with in_mode(model, not name.startswith("eval")):
        asked = next((question for question in _QUESTIONS if question.matters(model, example)), None)
        return asked.refusal(model, example, name) if asked else _refusal_of_state(name, seen, model, example)


def _refusal_of_state(name: str, seen: Witness, model: nn.Module, example: Example) -> UserError:
    kept = [(x.name, x.where or line_of_change(model, example, x.name)) for x in seen.assigned]
    shown = ", ".join(f"'{name}' at {where}" if where else f"'{name}'" for name, where in kept)
    path = next((name.rpartition(".")[0] for name, _ in kept), "") or "its.path"
    return UserError(
        f"the captured graph differs from the model in {name}",
        where=next((where for _, where in kept if where), ""),
        why=f"the model keeps something from one call to the next that is no buffer: {shown}"
        if kept
        else "the model does what torch.export cannot record, such as state outside of its buffers",
        fix=f"register what it keeps as a buffer, or keep that part out of the graph with leaves = ['{path}']",
    )


@dataclass(frozen=True)
class _Question:
    """What a model may ask torch, and compute something else for the answer.

    what: it branches on.   fix: what to do.   other: a run of the model under another answer than the ordinary one.
    """

    what: str
    fix: str
    other: Callable[[Example, nn.Module], Any]

    def matters(self, model: nn.Module, example: Example) -> bool:
        """Whether the model returns something else for the other answer."""
        ways = (example.tried, partial(self.other, example))
        try:
            ordinary, other = (_ran(way, copied(model)) for way in ways)
        except Exception:  # whatever the user's code raises
            return False
        return bool(difference(ordinary, other, EVAL))

    def refusal(self, model: nn.Module, example: Example, name: str) -> UserError:
        return UserError(
            f"the model branches on {self.what}",
            where=line_of_parting(model, example.tried, partial(self.other, example)),
            why=f"that is no part of a graph, and the model computes something else for it: {name} differs",
            fix=self.fix,
        )


def _ran(way: Callable[[nn.Module], Any], model: nn.Module) -> dict[str, torch.Tensor]:
    with seeded(0), plain_attention():
        return {name: x.detach() for name, x in outputs(way(model), "").items()}


def _under_export(example: Example, model: nn.Module) -> Any:
    with _flag("_is_compiling_flag"), _flag("_is_exporting_flag"):
        return example.tried(model)


def _flag(name: str) -> AbstractContextManager[Any]:
    known = hasattr(torch.compiler, name)
    return mock.patch.object(torch.compiler, name, True) if known else contextlib.nullcontext()


_QUESTIONS = (
    _Question(
        "whether gradients are recorded",
        "ask self.training in place of torch.is_grad_enabled() and requires_grad",
        partial(Example.tried, tracked=True),
    ),
    _Question(
        "whether it is exported or compiled",
        "compute the same whatever torch.compiler.is_compiling() and is_exporting() say",
        _under_export,
    ),
)
