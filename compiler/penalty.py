"""Penalty: what a graph adds to the task loss, and what can be told of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple


class Penalty(NamedTuple):
    """A summand of the loss. In a graph its parts are nodes, or numbers; in a run they are their values, scalars.

    term: what is added.   measure: R, which is to become zero.   coefficient: lambda, what R is weighted by.
    """

    term: Any
    measure: Any
    coefficient: Any = 1.0


def named(parts: Mapping[str, Any]) -> dict[str, Penalty]:
    """Penalties from the plain tuples in which the output of a graph has them, or its run returns them."""
    return {name: Penalty(*values) for name, values in dict(parts).items()}


def plain(penalties: Mapping[str, Penalty]) -> dict[str, tuple[Any, ...]]:
    """Penalties as plain tuples: torch.fx writes the code of an output by `repr`, and knows no other classes there."""
    return {name: tuple(penalty) for name, penalty in penalties.items()}
