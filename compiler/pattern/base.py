"""What a pattern is, what a match binds, why one misses; and the patterns without parts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from torch import fx


@dataclass(frozen=True)
class Bindings:
    """What a match has bound so far; never changed, but grown by `bind`.

    by_pattern, by_name: what each pattern, and each capture name, stands for: as a rule a node.
    each: what the elements of a list bound beside that, for a pattern of lists.   plan: the pass's plan.
    """

    by_pattern: Mapping[Pattern, Any] = field(default_factory=dict)
    by_name: Mapping[str, Any] = field(default_factory=dict)
    each: Mapping[Pattern, tuple[Bindings, ...]] = field(default_factory=dict)
    plan: Any = None

    def bind(self, pattern: Pattern, value: Any, each: tuple[Bindings, ...] | None = None) -> Bindings | Miss:
        """Grown by this; a miss where the pattern or its name stands for something else already."""
        clash = self.by_pattern.get(pattern, value) != value or self.by_name.get(pattern.name, value) != value
        if clash:
            called = f"'{pattern.name}'" if pattern.name else "what this pattern found"
            return Miss(_node(value), f"not the same as {called} elsewhere", shape=False, bound=self)
        by_name = {**self.by_name, pattern.name: value} if pattern.name else self.by_name
        elements = self.each if each is None else {**self.each, pattern: each}
        return replace(self, by_pattern={**self.by_pattern, pattern: value}, by_name=by_name, each=elements)


@dataclass(frozen=True)
class Miss:
    """Why a pattern does not match: the node that differs and a sentence. `shape` misses are not worth reporting.

    path: names of the arguments that lead from the root of the pattern to the part that differs; an element of a list
    is told as `tensors[1]`.   way: the nodes whose arguments these are.   bound: what had been bound by then.
    """

    node: fx.Node | None
    reason: str
    shape: bool = True
    path: tuple[str, ...] = ()
    way: tuple[fx.Node, ...] = ()
    bound: Bindings = field(default_factory=Bindings)

    def inside(self, node: fx.Node, argument: str) -> Miss:
        """The same miss, seen from the call that reads the part."""
        element, rest = (self.path[0], self.path[1:]) if self.path[:1] and self.path[0][0] == "[" else ("", self.path)
        return replace(self, path=(argument + element, *rest), way=(node, *self.way))

    def begins(self) -> bool:
        """Whether not even the outermost call fitted."""
        return self.shape and not self.path


Ways: TypeAlias = Iterator[Bindings | Miss]
"""Every way in which a pattern fits, with what it binds; and for every way that came to an end, why."""


@dataclass(frozen=True, eq=False)
class Pattern:
    """Base of all patterns. `name` captures the node under that name."""

    name: str = ""

    def ways(self, node: Any, found: Bindings) -> Ways:
        """Every way to match the node that agrees with what is bound already."""
        raise NotImplementedError

    def match(self, node: Any, found: Bindings) -> Bindings | Miss:
        """The first way to match the node; where there is none, the miss that came furthest."""
        return first(self.ways(node, found))

    def roots(self) -> frozenset[Any]:
        """The call targets or node kinds that a match can begin with; empty: any."""
        return frozenset()


def first(ways: Ways) -> Bindings | Miss:
    """The first way that fits, or else the miss that is most worth telling."""
    misses = []
    for way in ways:
        if isinstance(way, Bindings):
            return way
        misses.append(way)
    return furthest(misses)


def furthest(misses: Iterable[Miss]) -> Miss:
    """What is worth reporting before what is not; then the miss after which the most parts had fitted."""
    return max(misses, key=lambda miss: (not miss.shape, len(miss.bound.by_pattern) + len(miss.path)))


def _node(value: Any) -> fx.Node | None:
    return value if isinstance(value, fx.Node) else None


@dataclass(frozen=True, eq=False)
class Anything(Pattern):
    """Matches any argument at all, an absent one too."""

    def ways(self, node: Any, found: Bindings) -> Ways:
        yield found.bind(self, node)


@dataclass(frozen=True, eq=False)
class Planned(Pattern):
    """Matches the nodes that the pass's plan names."""

    def ways(self, node: Any, found: Bindings) -> Ways:
        planned = node.name in found.plan
        yield found.bind(self, node) if planned else Miss(node, "not in the plan", bound=found)


@dataclass(frozen=True, eq=False)
class Whole(Pattern):
    """Matches once a graph, at its output: for what concerns all layers together."""

    def ways(self, node: Any, found: Bindings) -> Ways:
        yield found.bind(self, node)

    def roots(self) -> frozenset[Any]:
        return frozenset({"output"})


@dataclass(frozen=True, eq=False)
class Weight(Pattern):
    """Matches a parameter or buffer read by the graph; with optional=True also an absent one."""

    optional: bool = False

    def ways(self, node: Any, found: Bindings) -> Ways:
        absent = self.optional and node is None
        if absent or (isinstance(node, fx.Node) and node.op == "get_attr"):
            yield found.bind(self, node)
        else:
            reason = f"'{self.name or 'the operand'}' is not a parameter or buffer"
            yield Miss(_node(node), reason, shape=False, bound=found)

    def roots(self) -> frozenset[Any]:
        return frozenset({"get_attr"})
