"""A model that branches on a draw, or on whether all is finite: traced once more for each decision, and merged."""

from __future__ import annotations

import warnings
from collections.abc import Callable

from torch.fx.experimental.symbolic_shapes import GuardOnDataDependentSymNode

from ..errors import UserError
from ..graph import Graph
from .alike import Unlike
from .branches import Decisions, TooMany, is_decision, number_of
from .merged import Merged, merged
from .witness import Witness

Trace = Callable[[Decisions], tuple[Graph, Witness]]
"""Exports the model with its decisions as told, as a pure graph with their marks."""


def is_branch(error: UserError) -> bool:
    """Whether torch.export stopped where Python needs the value of a tensor."""
    return isinstance(error.__cause__, GuardOnDataDependentSymNode)


def with_both_sides(trace: Trace, refused: UserError) -> tuple[Graph, Witness]:
    """The graph that takes every decision anew in each forward.   refused: why the model cannot be captured without.

    Raises UserError where the model branches on anything else, or the sides of a branch do not fit in one graph.
    """
    decisions = Decisions()
    try:
        ordinary, seen = _traced(trace, decisions)
        if not decisions.count:
            raise refused
        made = merged(ordinary, [_other(trace, Decisions(number), seen) for number in range(decisions.count)])
        _settle(made, trace, seen)
    except Unlike as reason:
        why = f"{refused.why}, and one graph cannot hold both sides: {reason}"
        raise UserError(refused.what, where=refused.where, why=why, fix=refused.fix) from refused
    seen.branches = decisions.count
    return made.graph, seen


def _settle(made: Merged, trace: Trace, seen: Witness) -> None:
    """Check what no trace of one decision tells: with all of them the other way, or else two by two."""
    doubts, count = made.doubts, len(made.decided)
    if doubts:
        everything = Decisions(*range(count))
        graph = _other(trace, everything, seen)
        if everything.count == count:  # else one of them is within another, and was not met
            made.check(graph, range(count), {mark: number_of(mark) for mark in graph.fx.nodes if is_decision(mark)})
            doubts = made.entangled
    for first, second in sorted(doubts):
        number = made.number_within(second, first)
        if number is not None:  # else the two never go the other way both
            made.check(_other(trace, Decisions(first, number), seen), (first, second), {})


def _traced(trace: Trace, decisions: Decisions) -> tuple[Graph, Witness]:
    try:
        return trace(decisions)
    except UserError as error:
        if isinstance(error.__cause__, TooMany):
            raise Unlike(str(error.__cause__)) from error
        raise


def _other(trace: Trace, decisions: Decisions, seen: Witness) -> Graph:
    """A trace in which some decisions go the other way. Raises Unlike where that side raises."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # said of the ordinary trace already
            graph, found = _traced(trace, decisions)
    except UserError as error:
        raise Unlike(f"on the other side, {error.why}") from error
    seen.functions = tuple(dict.fromkeys((*seen.functions, *found.functions)))
    seen.assigned = tuple(dict.fromkeys((*seen.assigned, *found.assigned)))
    return graph
