"""Patterns written as the call they match; a miss carries its reason.

    conv = aten.conv2d(weight=Weight("w"))
    norm = aten.batch_norm(input=conv, training=False)

Arguments go by ATen schema name; what is left out matches anything; a plain value must be equal.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch
from torch import fx

from .graph import arguments, schema_arguments


@dataclass(frozen=True)
class Miss:
    """Why a pattern does not match: the node that differs and a sentence. `shape` misses are not worth reporting.

    path: names of the arguments that lead from the root of the pattern to the part that differs.
    """

    node: fx.Node | None
    reason: str
    shape: bool = True
    path: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Pattern:
    """Base of all patterns. `name` captures the node under that name."""

    name: str = ""

    def match(self, node: Any, found: Bindings) -> Miss | None:
        """Bind this pattern and its parts to the node, or say why not."""
        raise NotImplementedError

    def roots(self) -> frozenset[Any]:
        """The call targets or node kinds that a match can begin with; empty: any."""
        return frozenset()


@dataclass
class Bindings:
    """What a match has bound: nodes by pattern and by capture name."""

    by_pattern: dict[Pattern, fx.Node] = field(default_factory=dict)
    by_name: dict[str, Any] = field(default_factory=dict)
    plan: Any = None

    def bind(self, pattern: Pattern, node: Any) -> None:
        self.by_pattern[pattern] = node
        if pattern.name:
            self.by_name[pattern.name] = node


@dataclass(frozen=True, eq=False)
class Anything(Pattern):
    """Matches any argument at all, an absent one too."""

    def match(self, node: Any, found: Bindings) -> Miss | None:
        found.bind(self, node)
        return None


@dataclass(frozen=True, eq=False)
class Planned(Pattern):
    """Matches the nodes that the pass's plan names."""

    def match(self, node: Any, found: Bindings) -> Miss | None:
        if node.name not in found.plan:
            return Miss(node, "not in the plan")
        found.bind(self, node)
        return None


@dataclass(frozen=True, eq=False)
class Whole(Pattern):
    """Matches once a graph, at its output: for what concerns all layers together."""

    def match(self, node: Any, found: Bindings) -> Miss | None:
        found.bind(self, node)
        return None

    def roots(self) -> frozenset[Any]:
        return frozenset({"output"})


@dataclass(frozen=True, eq=False)
class Weight(Pattern):
    """Matches a parameter or buffer read by the graph; with optional=True also an absent one."""

    optional: bool = False

    def match(self, node: Any, found: Bindings) -> Miss | None:
        absent = self.optional and node is None
        if not absent and not (isinstance(node, fx.Node) and node.op == "get_attr"):
            shown = node if isinstance(node, fx.Node) else None
            return Miss(shown, f"'{self.name or 'the operand'}' is not a parameter or buffer", shape=False)
        found.bind(self, node)
        return None

    def roots(self) -> frozenset[Any]:
        return frozenset({"get_attr"})


@dataclass(frozen=True, eq=False)
class Call(Pattern):
    """Matches a call of one of `targets` whose named arguments match."""

    targets: frozenset[Any] = frozenset()
    parts: tuple[tuple[str, Any], ...] = ()

    def match(self, node: Any, found: Bindings) -> Miss | None:
        if not isinstance(node, fx.Node) or node.target not in self.targets:
            return Miss(node if isinstance(node, fx.Node) else None, self._otherwise)
        given = arguments(node)
        for name, wanted in self.parts:
            miss = _match_part(node, name, wanted, given[name], found)
            if miss is not None:
                return replace(miss, path=(name, *miss.path)) if isinstance(wanted, Pattern) else miss
        found.bind(self, node)
        return None

    def roots(self) -> frozenset[Any]:
        return self.targets

    @cached_property
    def _otherwise(self) -> str:
        return _no_call(self.targets)


def _no_call(targets: Iterable[Any]) -> str:
    return f"not a call of {' or '.join(sorted(str(target) for target in targets))}"


def _match_part(node: fx.Node, name: str, wanted: Any, given: Any, found: Bindings) -> Miss | None:
    if isinstance(wanted, Pattern):
        return wanted.match(given, found)
    if given != wanted:
        return Miss(node, f"{name} is {given}", shape=False)
    return None


@dataclass(frozen=True, eq=False)
class Either(Pattern):
    """Matches what the first fitting of `options` matches."""

    options: tuple[Pattern, ...] = ()

    def match(self, node: Any, found: Bindings) -> Miss | None:
        misses = []
        for option in self.options:
            attempt = Bindings(dict(found.by_pattern), dict(found.by_name), found.plan)
            miss = option.match(node, attempt)
            if miss is None:
                found.by_pattern.update(attempt.by_pattern)
                found.by_name.update(attempt.by_name)
                found.bind(self, node)
                return None
            misses.append(miss)
        return next((miss for miss in misses if not miss.shape), None) or self._nearest(misses)

    def _nearest(self, misses: list[Miss]) -> Miss:
        """The miss of the option that fitted furthest; where none began to fit, it names them all."""
        nearest = max(misses, key=lambda miss: len(miss.path))
        return nearest if nearest.path else replace(nearest, reason=self._otherwise)

    @cached_property
    def _otherwise(self) -> str:
        return _no_call(self.roots())

    def roots(self) -> frozenset[Any]:
        return frozenset[Any]().union(*(option.roots() for option in self.options))


def either(*options: Pattern, name: str = "") -> Either:
    """Any one of these producers."""
    return Either(name, options)


class Namespace:
    """Operators of one library as pattern makers: `aten.conv2d(...)`, `aten.add.Tensor(...)`, `own.dequantize(...)`."""

    def __init__(self, library: str) -> None:
        self._library = library

    def __getattr__(self, operator: str) -> Maker:
        packet = getattr(getattr(torch.ops, self._library), operator)
        return Maker([getattr(packet, overload) for overload in packet.overloads()])


class Maker:
    """Makes patterns for the overloads of one operator; attribute access picks a single overload."""

    def __init__(self, overloads: Iterable[Any]) -> None:
        self.overloads = tuple(overloads)

    def __getattr__(self, overload: str) -> Maker:
        chosen = [target for target in self.overloads if target._overloadname == overload]
        if not chosen:
            raise AttributeError(overload)
        return Maker(chosen)

    def __call__(self, name: str = "", /, **parts: Any) -> Call:
        fitting = [t for t in self.overloads if parts.keys() <= {argument for argument, _ in schema_arguments(t)}]
        if not fitting:
            raise TypeError(f"{self.overloads[0]} has no arguments {sorted(parts)}")
        return Call(name, frozenset(fitting), tuple(parts.items()))


aten = Namespace("aten")
own = Namespace("lowbit")
