"""Where the batch stands: values in which it is not the first axis, and calls that compute with them as with others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from ...compiler.arrays import Integers
from ...compiler.graph import shape
from ...compiler.operators import GRIDS
from .real import Axes, Laid, Lowered

if TYPE_CHECKING:
    from .lower import Node


def placed(laid: Laid, integers: Integers) -> Integers:
    """The integers of the program in the shape that the graph has them in."""
    parts = [part for axis in laid.axes for part in axis]
    seen = integers.reshape(len(integers), *(part for part in parts if part is not None))
    sizes = (prod(len(integers) if part is None else part for part in axis) for axis in laid.axes)
    return np.moveaxis(seen, 0, parts.index(None)).reshape(*sizes)


def by_sample(axes: Axes) -> tuple[int, ...]:
    """The shape of one sample: an axis that is the batch alone goes."""
    return tuple(prod(part for part in axis if part is not None) for axis in axes if axis != (None,))


def counted(size: Any) -> tuple[int, bool]:
    """(how many, whether of samples) a size of the graph is."""
    if isinstance(size, int):
        return size, False
    expression = size.node.expr
    return int(expression.subs(dict.fromkeys(expression.free_symbols, 1))), True


def across(node: Node, build: Callable[[Node], Lowered], along: int) -> Lowered:
    """What the call becomes; where its operands have their batch elsewhere, of one sample, along the axes behind it."""
    laid = [value for value in node.given.values() if isinstance(value, Laid)]
    if not laid:
        return build(node)
    sizes, group = shape(node.node), next(axis for axis in laid[0].axes if None in axis)
    behind = {(len(x.axes) - next(i for i, axis in enumerate(x.axes) if None in axis)) for x in laid}
    (behind_it,) = behind if len(behind) == 1 else (0,)
    alike = all(group in x.axes for x in laid) and along < behind_it <= len(sizes)
    if not alike or counted(sizes[-behind_it]) != (prod(part or 1 for part in group), True):
        raise node.unsupported("its operands have the batch in different places")
    axes = tuple(group if i == len(sizes) - behind_it else (counted(size)[0],) for i, size in enumerate(sizes))
    given = {name: _of_one(node, value, behind_it, group) for name, value in node.given.items()}
    rank = len(laid[0].axes)
    if isinstance(dim := given.get("dim"), int):
        given["dim"] = dim % rank - rank
        if given["dim"] <= -behind_it:
            raise node.unsupported("it goes over the batch, or over what is in front of it")
    return Laid(build(replace(node, given=given, sizes=by_sample(axes))), axes)


def _of_one(node: Node, value: Any, behind_it: int, group: Sequence[int | None]) -> Any:
    """An argument as the call on one sample has it."""
    if isinstance(value, Laid):
        return value.value
    if isinstance(value, np.ndarray) and value.ndim >= behind_it and node.node.target not in GRIDS:
        place = value.ndim - behind_it
        if value.shape[place] != 1:
            raise node.unsupported("a constant in it differs along the batch")
        return value.squeeze(place) if tuple(group) == (None,) else value
    return value
