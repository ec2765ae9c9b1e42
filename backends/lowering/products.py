"""Products of two values that are no constants: at once, or of the digits of one where 32 bits are too few."""

from __future__ import annotations

from ..fixed.broadcast import product as range_of
from ..fixed.types import INT32, Range
from .lower import Node
from .real import Real, Sum
from .widening import digits


def product(node: Node, a: Real, b: Real, op: str, terms: int) -> Real | Sum:
    """a b by an op that adds so many products.   The sum of two such is rounded once, by the grid behind."""
    if _range(node, a, b, terms) in INT32:
        return _product(node, a, b, op)
    high, low = digits(node, a)
    return Sum(_product(node, high, b, op), _product(node, low, b, op))


def _product(node: Node, a: Real, b: Real, op: str) -> Real:
    value = node.step(op, a.value, b.value, zero_a=a.zero, zero_b=b.zero)
    return Real(value, a.scale * b.scale, wide=True)


def _range(node: Node, a: Real, b: Real, terms: int) -> Range:
    ranges = (node.builder[x.value].range for x in (a, b))
    one = range_of(*(Range(seen.lo - x.zero, seen.hi - x.zero) for seen, x in zip(ranges, (a, b), strict=True)))
    return Range(min(0, one.lo * terms), max(0, one.hi * terms))
