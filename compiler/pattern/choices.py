"""Patterns of alternatives: any of these producers, and what may be absent."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from .base import Bindings, Miss, Pattern, Ways
from .calls import no_call


@dataclass(frozen=True, eq=False)
class Either(Pattern):
    """Matches what any of `options` matches, tried in order."""

    options: tuple[Pattern, ...] = ()

    def ways(self, node: Any, found: Bindings) -> Ways:
        misses = []
        for option in self.options:
            for way in option.ways(node, found):
                if isinstance(way, Miss):
                    misses.append(way)
                else:
                    yield way.bind(self, node)
        yield from self._told(misses)

    def _told(self, misses: list[Miss]) -> list[Miss]:
        """Where no option began to fit, one miss that names them all."""
        if misses and self.roots() and all(miss.begins() for miss in misses):
            return [replace(misses[0], reason=self._otherwise)]
        return misses

    @cached_property
    def _otherwise(self) -> str:
        return no_call(self.roots())

    def roots(self) -> frozenset[Any]:
        every = [option.roots() for option in self.options]
        return frozenset[Any]().union(*every) if all(every) else frozenset()


def either(*options: Pattern, name: str = "") -> Either:
    """Any one of these producers."""
    return Either(name, options)


@dataclass(frozen=True, eq=False)
class Optional(Pattern):
    """Matches an absent argument, and what `part` matches."""

    part: Pattern = field(default_factory=Pattern)

    def ways(self, node: Any, found: Bindings) -> Ways:
        if node is None:
            yield found.bind(self, None)
            return
        for way in self.part.ways(node, found):
            yield way if isinstance(way, Miss) else way.bind(self, node)

    def roots(self) -> frozenset[Any]:
        return self.part.roots()


def optional(part: Pattern, name: str = "") -> Optional:
    """An argument that may be absent. What `part` captures is then not bound; `name` is, to None."""
    return Optional(name, part)
