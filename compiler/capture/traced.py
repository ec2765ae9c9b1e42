"""A module's graph, stage by stage: exported, made plain, made pure, folded; with both sides of a branch, if it can."""

from __future__ import annotations

import contextlib
import warnings
from dataclasses import dataclass, replace
from functools import partial

from torch import nn

from ..assumptions import assumptions
from ..errors import UserError
from ..graph import Graph
from ..verify import verify
from .both_sides import is_branch, with_both_sides
from .branches import Decisions
from .example import Example
from .export import export, export_any_size
from .folding import folded
from .in_place import functional
from .leaves import Opaque, opaque
from .plain import plain
from .regions import unsplit
from .witness import Witness, refusal_of_randomness


@dataclass(frozen=True)
class Wanted:
    """How a module is to be captured.

    leaves: patterns of the modules that stay opaque.   any_size: with every axis of the inputs symbolic, not the batch
    alone; what torch assumed of them is checked in each forward.
    """

    leaves: tuple[str, ...] = ()
    any_size: bool = False


def traced(model: nn.Module, example: Example, wanted: Wanted) -> tuple[Graph, Witness]:
    """The graph of the model in the mode that it is in, over its own parameters and buffers, and what it cannot hold.

    Raises UserError, also for random numbers that the graph would repeat: of Python, and behind a seed.
    """
    leaves = opaque(model, wanted.leaves, example)
    with example.spelled_out(model):
        try:
            graph, seen = _pure(model, example, wanted, leaves)
        except UserError as refused:
            if wanted.any_size or not is_branch(refused):
                raise
            graph, seen = with_both_sides(partial(_pure, model, example, wanted, leaves), refused)
    if not graph.outputs:
        raise UserError("the model returns no tensor", fix="return what it computes")
    asked = replace(graph.assumptions, asks_autocast=next(iter(seen.autocasts), ""))
    graph = replace(folded(graph), assumptions=asked)
    verify(graph, "capture")
    return graph, seen


def _pure(
    model: nn.Module,
    example: Example,
    wanted: Wanted,
    leaves: Opaque,
    decisions: Decisions | None = None,
) -> tuple[Graph, Witness]:
    """The stages up to folding.   decisions: the sides to take; without, a branch on values is refused."""
    taking = decisions or contextlib.nullcontext()
    with leaves.standing_in(), unsplit(), Witness(model) as seen, taking:
        program = export_any_size(model, example) if wanted.any_size else export(model, example)
    if (refused := refusal_of_randomness(seen)) is not None:
        raise refused
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exported = program.module(check_guards=False)
    graph = functional(plain(exported, model, leaves))
    if wanted.any_size:
        graph = replace(graph, assumptions=assumptions(program))
    return graph, seen
