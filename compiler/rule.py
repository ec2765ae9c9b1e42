"""A rule: a pattern, guards that may refuse with a reason, and a builder with a handful of verbs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import torch
from torch import fx

from .edit import Edit
from .errors import UserError
from .graph import Graph, arguments
from .pattern import Bindings, Pattern


@dataclass(frozen=True, eq=False)
class Match:
    """One place where a pattern fits: captures as attributes, nodes by pattern.

    graph: the graph as it stands.   root: the node that the pattern's outermost call bound.
    options: the pass's options for the layer of the root.   plan: what the pass planned for the whole graph.
    steps: length of the training, or None when it was not told.
    """

    graph: Graph
    root: fx.Node
    bindings: Bindings
    options: Any
    plan: Any
    steps: int | None

    def __getitem__(self, pattern: Pattern) -> fx.Node:
        """The node bound by this very pattern object."""
        node: fx.Node = self.bindings.by_pattern[pattern]
        return node

    def __contains__(self, pattern: Pattern) -> bool:
        return pattern in self.bindings.by_pattern

    def node(self, name: str) -> fx.Node:
        """The node captured under a name."""
        node: fx.Node = self.bindings.by_name[name]
        return node

    def tensor(self, name: str) -> torch.Tensor:
        """The parameter or buffer captured under a name."""
        return self.graph.tensor(self.node(name))

    def optional(self, name: str) -> torch.Tensor | None:
        """The parameter or buffer captured under a name, or None where an optional one is absent."""
        return None if self.bindings.by_name[name] is None else self.tensor(name)

    def each(self, pattern: Pattern) -> tuple[Match, ...]:
        """Of a pattern of lists: each element that it matched, as a match of its own within this one."""
        nodes, own = self.bindings.by_pattern[pattern], self.bindings.each[pattern]
        return tuple(replace(self, root=node, bindings=bound) for node, bound in zip(nodes, own, strict=True))

    def step_at(self, share: float, schedule: str) -> int:
        """The step at a share of the training, for a schedule of that name. Raises UserError if no length was told."""
        if self.steps is None:
            raise UserError(
                "the recipe has a schedule, so it must know how long the training is",
                where=schedule,
                fix="tell the number of optimizer steps: lowbit.prepare(model, inputs, recipe, steps=...)",
            )
        return round(share * self.steps)

    def argument(self, pattern: Pattern, name: str) -> Any:
        """An argument of a bound call, by schema name, default filled in."""
        return arguments(self[pattern])[name]


Guard: TypeAlias = Callable[[Match], str]
"""Returns why the rule must not fire, or nothing."""
Build: TypeAlias = Callable[[Match, Edit], fx.Node]
"""Builds the node whose value takes the place of the root's; returning the root itself leaves it in place."""


@dataclass(frozen=True, eq=False)
class Rule:
    """A rewrite: where `pattern` fits and no guard refuses, `build` makes what takes the root's place."""

    name: str
    pattern: Pattern
    guards: tuple[Guard, ...]
    build: Build


def rule(pattern: Pattern, *guards: Guard) -> Callable[[Build], Rule]:
    """Declare the decorated builder as a rule; its name is the rule's name."""
    return lambda build: Rule(build.__name__, pattern, guards, build)
