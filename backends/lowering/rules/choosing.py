"""where, masked_fill, maximum, minimum: choices among values on one grid, b + c (a - b) for c among 0 and 1.

maximum(a, b) = b + max(a - b, 0), minimum(a, b) = b + min(a - b, 0)

In front of a softmax minus infinity is what lies so far below all other values that its exponential is zero.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ....compiler.arrays import Integers
from ....compiler.operators import calls
from ..affine import affine
from ..constants import codes_on, constant
from ..exact import combined, difference, held
from ..exponentials import SOFTMAX, reach
from ..lower import Lowering, Node
from ..real import Lowered, Real

_CHOICES = calls("where", "masked_fill", "masked_fill_")
_MAXIMA, _MINIMA = calls("maximum"), calls("minimum")


def _build(node: Node) -> Lowered:
    names = ("self", "other") if "other" in node.given else ("value", "self")
    values = [node.given[name] for name in names]
    if all(isinstance(value, (int, float)) for value in values) and isinstance(node.given.get("condition"), Real):
        return affine(node, node.real("condition"), float(values[0] - values[1]), float(values[1]))
    grid = next((value for value in values if isinstance(value, Real)), None)
    if grid is None or grid.wide or grid.scale.size > 1:
        raise node.unsupported("it chooses among values that lie on no grid")
    a, b = (_value(node, value, grid) for value in values)
    seen = node.builder[a].range | node.builder[b].range
    apart = difference(node, a, b)
    if node.node.target in _CHOICES:
        condition = _condition(node, grid)
        apart = node.step("multiply", condition, apart, zero_a=0, zero_b=0)
    else:
        limits = (0, seen.hi - seen.lo) if node.node.target in _MAXIMA else (seen.lo - seen.hi, 0)
        apart = held(node, apart, *limits)
    return replace(grid, value=held(node, combined(node, b, apart, 1, 1), seen.lo, seen.hi))


def _value(node: Node, value: Any, grid: Real) -> int:
    """The integers of what may be chosen, with as many axes as the result."""
    if isinstance(value, Real):
        alike = value.scale.tolist() == grid.scale.tolist() and value.zero == grid.zero
        if value.wide or not alike:
            raise node.unsupported("what it chooses among lies on different grids")
        return _ranked(node, value.value)
    return constant(node, grid, _codes(node, np.asarray(value, np.float64), grid))


def _codes(node: Node, reals: Any, grid: Real) -> Integers:
    if np.all(reals == -np.inf) and all(reader.target in SOFTMAX for reader in node.node.users):
        return np.asarray(node.builder[grid.value].range.lo - reach(float(grid.scale[0])))
    return codes_on(node, reals, grid)


def _condition(node: Node, grid: Real) -> int:
    given = node.given["condition" if "condition" in node.given else "mask"]
    if isinstance(given, Real):
        return _ranked(node, given.value)
    if isinstance(given, np.ndarray):
        return constant(node, grid, given.astype(np.int64))
    raise node.unsupported("its condition is no comparison of integers")


def _ranked(node: Node, value: int) -> int:
    shape = node.builder[value].shape
    return node.shaped(value, (*[1] * (len(node.shape) - len(shape)), *shape))


LOWERING = Lowering(_CHOICES | _MAXIMA | _MINIMA, _build)
