"""Patterns of arguments that are lists, such as the inputs of a concatenation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from .base import Bindings, Miss, Pattern, Ways, furthest


@dataclass(frozen=True, eq=False)
class _Elements(Pattern):
    """Base of patterns that hold every element to one pattern, `part`, in any number.

    An element may read what is bound outside of it. What its own parts bind stays with the element (`match.each`), so
    that one capture name serves all of them; the pattern itself stands for the tuple of the elements that fit.
    """

    part: Pattern = field(default_factory=Pattern)

    def ways(self, node: Any, found: Bindings) -> Ways:
        nodes = _elements(node)
        ways = list(self._matched(nodes, found))
        misses = [way for way in ways if isinstance(way, Miss)]
        if self._suffices(len(nodes) - len(misses), len(nodes)):
            yield self._bound(nodes, ways, found)
        else:
            yield furthest(misses) if misses else _empty(found)

    def _suffices(self, fitting: int, count: int) -> bool:
        """Whether so many elements of so many are enough."""
        raise NotImplementedError

    def _matched(self, nodes: Sequence[Any], found: Bindings) -> Iterator[Bindings | Miss]:
        for i, node in enumerate(nodes):
            way = self.part.match(node, found)
            yield way if isinstance(way, Bindings) else _at(way, i)

    def _bound(self, nodes: Sequence[Any], ways: Sequence[Bindings | Miss], found: Bindings) -> Bindings | Miss:
        fitting = [(node, way) for node, way in zip(nodes, ways, strict=True) if isinstance(way, Bindings)]
        return found.bind(self, tuple(node for node, _ in fitting), tuple(way for _, way in fitting))


@dataclass(frozen=True, eq=False)
class Every(_Elements):
    """Matches a list of which every element matches `part`; there is at least one."""

    def _suffices(self, fitting: int, count: int) -> bool:
        return fitting == count > 0


@dataclass(frozen=True, eq=False)
class Some(_Elements):
    """Matches a list of which at least one element matches `part`; the others may be anything."""

    def _suffices(self, fitting: int, count: int) -> bool:
        return fitting > 0


def every(part: Pattern, name: str = "") -> Every:
    """A list, each of whose elements matches."""
    return Every(name, part)


def some(part: Pattern, name: str = "") -> Some:
    """A list, at least one of whose elements matches."""
    return Some(name, part)


@dataclass(frozen=True, eq=False)
class Listed(Pattern):
    """Matches a list of just as many elements, each as its own part says, in order."""

    parts: tuple[Any, ...] = ()

    def ways(self, node: Any, found: Bindings) -> Ways:
        nodes = _elements(node)
        if len(nodes) != len(self.parts):
            yield Miss(None, f"there are {len(nodes)} of them, not {len(self.parts)}", bound=found)
            return
        yield from self._in_turn(nodes, 0, found)

    def _in_turn(self, nodes: Sequence[Any], i: int, found: Bindings) -> Ways:
        if i == len(nodes):
            yield found
            return
        for way in _ways(self.parts[i], nodes[i], found):
            if isinstance(way, Miss):
                yield _at(way, i)
            else:
                yield from self._in_turn(nodes, i + 1, way)


def _ways(part: Any, given: Any, found: Bindings) -> Ways:
    """The ways of a part, which may be a plain value."""
    if isinstance(part, Pattern):
        return part.ways(given, found)
    return iter((found if given == part else Miss(None, f"it is {given}", shape=False, bound=found),))


def _elements(given: Any) -> Sequence[Any]:
    return given if isinstance(given, (list, tuple)) else ()


def _empty(found: Bindings) -> Miss:
    return Miss(None, "there are no elements", bound=found)


def _at(miss: Miss, i: int) -> Miss:
    """The miss of an element; the call that reads the list will name the argument before the index."""
    return replace(miss, path=(f"[{i}]", *miss.path))
