"""Patterns of numbers, of the parts of a call's result, and of arithmetic in all its spellings."""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import fx

from .capture.folding import CONSTANTS
from .contract import OptionsFor
from .graph import Graph
from .pattern import Anything, Bindings, Either, Miss, Pattern, aten, either
from .pattern.base import Ways

PRECISION = 1e-10
"""How far, relatively, a number may be from the one that is meant: sqrt(2 / pi) is written with ten digits."""


def numbers(graph: Graph, options: OptionsFor) -> Mapping[str, float]:
    """Name of each node that is one number throughout -> that number; parameters and the user's buffers are none."""
    found: dict[str, float] = {}
    for node in graph.fx.nodes:
        if node.target is torch.ops.aten.zeros_like.default:
            found[node.name] = 0.0
        elif node.op == "get_attr" and str(node.target).startswith(CONSTANTS) and not graph.tensor(node).dim():
            found[node.name] = float(graph.tensor(node))
    return found


@dataclass(frozen=True, eq=False)
class Number(Pattern):
    """Matches a number, written as a literal or as a constant tensor; any if no value is given."""

    value: float | None = None

    def ways(self, node: Any, found: Bindings) -> Ways:
        given = found.plan.get(node.name) if isinstance(node, fx.Node) else node
        if isinstance(given, (int, float)) and self._is(given):
            yield found.bind(self, given)
        else:
            yield Miss(node if isinstance(node, fx.Node) else None, f"not the number {self.value}", bound=found)

    def _is(self, given: float) -> bool:
        return self.value is None or math.isclose(given, self.value, rel_tol=PRECISION)


@dataclass(frozen=True, eq=False)
class Item(Pattern):
    """Matches one of the tensors that a call returns."""

    call: Pattern = field(default_factory=Anything)
    index: int = 0

    def ways(self, node: Any, found: Bindings) -> Ways:
        if not isinstance(node, fx.Node) or node.target is not operator.getitem or node.args[1] != self.index:
            yield Miss(node if isinstance(node, fx.Node) else None, f"not item {self.index} of a call", bound=found)
            return
        for way in self.call.ways(node.args[0], found):
            yield way if isinstance(way, Miss) else way.bind(self, node)


def larger(a: Pattern, b: Pattern) -> Either:
    """The elementwise larger of both."""
    both = aten.maximum(self=a, other=b).either_way()
    return either(both, aten.max.other(self=a, other=b), aten.max.other(self=b, other=a))


def smaller(a: Pattern, b: Pattern) -> Either:
    """The elementwise smaller of both."""
    both = aten.minimum(self=a, other=b).either_way()
    return either(both, aten.min.other(self=a, other=b), aten.min.other(self=b, other=a))


def plus(a: Pattern, number: float) -> Pattern:
    """Plus a number."""
    return aten.add.Tensor(self=a, other=Number(value=number), alpha=1)


def times(a: Pattern, number: float) -> Either:
    """Multiplied by a number, or divided by its inverse."""
    return either(
        aten.mul.Tensor(self=a, other=Number(value=number)), aten.div.Tensor(self=a, other=Number(value=1 / number))
    )


def product(a: Pattern, b: Pattern) -> Pattern:
    """a b, in either order."""
    return aten.mul.Tensor(self=a, other=b).either_way()


def scaled_product(a: Pattern, b: Pattern, number: float) -> Either:
    """a b times a number, multiplied in any order."""
    return either(product(times(a, number), b), product(a, times(b, number)), times(product(a, b), number))
