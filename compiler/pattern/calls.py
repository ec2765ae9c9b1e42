"""Patterns of calls, and the namespaces that make them: `aten.conv2d(...)`, `own.dequantize(...)`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeAlias

import torch
from torch import fx

from ..graph import arguments, schema_arguments
from .base import Bindings, Miss, Pattern, Ways
from .lists import Listed

OPERANDS = ("self", "other")
COMMUTING = frozenset(
    getattr(torch.ops.aten, name)
    for name in (
        *("add", "mul", "maximum", "minimum", "fmax", "fmin", "eq", "ne"),
        *("logical_and", "logical_or", "logical_xor", "bitwise_and", "bitwise_or", "bitwise_xor"),
    )
)
"""Operators that give the same to a bit when `self` and `other` are exchanged; an `add` where its alpha is 1."""

Parts: TypeAlias = Sequence[tuple[str, Any]]


@dataclass(frozen=True, eq=False)
class Call(Pattern):
    """Matches a call of one of `targets` whose named arguments match.   commutes: in either order of the operands."""

    targets: frozenset[Any] = frozenset()
    parts: tuple[tuple[str, Any], ...] = ()
    commutes: bool = False

    def either_way(self) -> Call:
        """The same pattern, with `self` and `other` in either order. Raises TypeError where the order matters."""
        fixed = sorted(str(target) for target in self.targets if target.overloadpacket not in COMMUTING)
        if fixed:
            raise TypeError(f"the operands of {fixed[0]} do not commute")
        return replace(self, commutes=True)

    def ways(self, node: Any, found: Bindings) -> Ways:
        if not isinstance(node, fx.Node) or node.target not in self.targets:
            yield Miss(node if isinstance(node, fx.Node) else None, self._otherwise, bound=found)
            return
        given = arguments(node)
        yield from self._in_turn(node, given, self.parts, found)
        if self.commutes and given.get("alpha", 1) == 1:
            yield from self._in_turn(node, given, self._exchanged, found)

    def _in_turn(self, node: fx.Node, given: dict[str, Any], parts: Parts, found: Bindings) -> Ways:
        """Every way to match the parts, each within the ways of those before it."""
        if not parts:
            yield found.bind(self, node)
            return
        (name, wanted), *rest = parts
        if not isinstance(wanted, Pattern):
            if given[name] == wanted:
                yield from self._in_turn(node, given, rest, found)
            else:
                yield Miss(node, f"{name} is {given[name]}", shape=False, bound=found)
            return
        for way in wanted.ways(given[name], found):
            if isinstance(way, Miss):
                yield way.inside(node, name)
            else:
                yield from self._in_turn(node, given, rest, way)

    def roots(self) -> frozenset[Any]:
        return self.targets

    @cached_property
    def _exchanged(self) -> Parts:
        other = dict(zip(OPERANDS, reversed(OPERANDS), strict=True))
        return [(other.get(name, name), wanted) for name, wanted in self.parts]

    @cached_property
    def _otherwise(self) -> str:
        return no_call(self.targets)


def no_call(targets: Iterable[Any]) -> str:
    """The sentence for a node that is none of these calls."""
    return f"not a call of {' or '.join(sorted(str(target) for target in targets))}"


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
        return Call(name, frozenset(fitting), tuple((key, _part(wanted)) for key, wanted in parts.items()))


def _part(wanted: Any) -> Any:
    """A list of patterns is a pattern."""
    listed = isinstance(wanted, (list, tuple)) and any(isinstance(part, Pattern) for part in wanted)
    return Listed(parts=tuple(wanted)) if listed else wanted


aten = Namespace("aten")
own = Namespace("lowbit")
