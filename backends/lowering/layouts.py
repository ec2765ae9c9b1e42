"""Layouts: what calls make of a value whose batch stands elsewhere than first, as in attention by heads and windows.

An axis of the graph is a product of parts, one of which is the batch. In the program the batch is always first, and
the parts of one sample follow in their order: (L, B h, d) of the graph is (L, h, d) of the program.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from math import prod
from typing import Any

import torch

from ...compiler.graph import shape
from .batch import by_sample, counted
from .lower import Node
from .moving import joined, moved, taken
from .real import Axes, Laid, Lowered, Moved, Real, Several


def elsewhere(node: Node) -> bool:
    """Whether a call that moves values reads one of another layout, or makes one."""
    found = node.node.meta["val"]
    results = found if isinstance(found, (list, tuple)) else [found]
    given = next(iter(node.given.values()))
    if isinstance(given, Laid):
        return True
    return isinstance(given, (Real, Moved)) and any(not _is_first(result) for result in results)


def _is_first(tensor: torch.Tensor) -> bool:
    sizes = [counted(size) for size in tensor.shape]
    return not any(batch for _, batch in sizes) or sizes[0] == (1, True)


def reshaped(node: Node) -> Lowered:
    """The parts in other groups."""
    x = _laid(node)
    axes = _grouped(x.axes, [counted(size) for size in shape(node.node)])
    if axes is None:
        raise node.unsupported("it takes the batch apart, or parts of axes that do not divide")
    return _settled(node, x.value, axes)


def turned(node: Node) -> Lowered:
    """The axes in the order in which the call puts them."""
    x, target = _laid(node), node.node.target
    given: list[Any] = list(node.given.values())[1:]
    order = list(target(torch.empty(tuple(range(len(x.axes))), device="meta"), *given).shape)  # type: ignore[operator]
    axes = tuple(x.axes[axis] for axis in order)
    numbers, parts = _numbered(x.axes)
    places = tuple(number for axis in order for number in numbers[axis])

    def move(value: int) -> int:
        value = node.shaped(value, parts)
        return value if places == tuple(range(len(parts))) else node.step("transpose", value, axes=places)

    return _settled(node, moved(_movable(node, x), move), axes)


def some(node: Node, axis: int, places: Sequence[int], drops: bool) -> Lowered:
    """The elements at some places along an axis of the graph."""
    x = _laid(node)
    if None in x.axes[axis]:
        raise node.unsupported("it takes some of the batch")
    numbers, parts = _numbered(tuple((prod(_sizes(part)),) if i == axis else part for i, part in enumerate(x.axes)))
    (place,) = numbers[axis]
    left = () if drops else ((len(places),),)
    whole = list(places) == list(range(parts[place]))

    def move(value: int) -> int:
        value = node.shaped(value, parts)
        return value if whole else taken(node, value, place, places)

    return _settled(node, moved(_movable(node, x), move), (*x.axes[:axis], *left, *x.axes[axis + 1 :]))


def several(node: Node, axis: int, cuts: Sequence[tuple[int, int]], drops: bool) -> Lowered:
    """Parts of a value along an axis of the graph, each (start, stop)."""
    return Several(tuple(some(node, axis, range(*cut), drops) for cut in cuts))


def beside(node: Node, parts: Sequence[Lowered], axis: int, new: bool) -> Lowered:
    """Values of one layout side by side along an axis of the graph.   new: an axis that is put in for it."""
    laid = [part for part in parts if isinstance(part, Laid)]
    if new:
        laid = [Laid(x.value, (*x.axes[:axis], (1,), *x.axes[axis:])) for x in laid]
    others = {x.axes[:axis] + x.axes[axis + 1 :] for x in laid}
    if len(laid) < len(parts) or len(others) > 1:
        raise node.unsupported("it joins values that have the batch in different places")
    if None in laid[0].axes[axis]:
        raise node.unsupported("it joins batches")
    lengths = [prod(_sizes(x.axes[axis])) for x in laid]
    whole = [Laid(x.value, (*x.axes[:axis], (n,), *x.axes[axis + 1 :])) for x, n in zip(laid, lengths, strict=True)]
    place = _numbered(whole[0].axes)[0][axis][0]
    values = [moved(_movable(node, x), partial(node.shaped, shape=_numbered(x.axes)[1])) for x in whole]
    axes = (*whole[0].axes[:axis], (sum(lengths),), *whole[0].axes[axis + 1 :])
    return _settled(node, joined(node, values, place), axes)


def _laid(node: Node) -> Laid:
    """What the call moves; of a usual value, its layout."""
    x = next(iter(node.given.values()))
    if isinstance(x, Laid):
        return x
    sizes = shape(node.node.all_input_nodes[0])
    return Laid(x, ((None,), *((int(size),) for size in sizes[1:])))


def _movable(node: Node, x: Laid) -> Real | Moved:
    if isinstance(x.value, (Real, Moved)):
        return x.value
    raise node.unsupported("it moves a value that no grid has rounded")


def _sizes(axis: Sequence[int | None]) -> list[int]:
    return [part for part in axis if part is not None]


def _numbered(axes: Axes) -> tuple[list[list[int]], tuple[int, ...]]:
    """(the numbers of the parts of each axis, the sizes of all parts) of one sample."""
    numbers, parts = list[list[int]](), list[int]()
    for axis in axes:
        numbers.append([len(parts) + i for i in range(len(_sizes(axis)))])
        parts += _sizes(axis)
    return numbers, tuple(parts)


def _grouped(axes: Axes, sizes: Sequence[tuple[int, bool]]) -> Axes | None:
    """The parts, in their order, as axes of those sizes; nothing where they do not go into them."""
    left = [part for axis in axes for part in axis if part != 1]
    found = []
    for size, batch in sizes:
        group = list[int | None]()
        while size > 1 or batch:
            part = left.pop(0) if left else 1
            if part is None and batch:
                batch = False
            elif part is not None and part > 1 and size % part == 0:
                size //= part
            elif part is not None and size > 1 and part % size == 0:
                left.insert(0, part // size)
                part, size = size, 1
            else:
                return None
            group.append(part)
        found.append(tuple(group))
    return None if left else tuple(found)


def _settled(node: Node, x: Lowered, axes: Axes) -> Lowered:
    """The value in that layout; of the usual one, without it."""
    value = moved(_movable(node, Laid(x, axes)), lambda value: node.shaped(value, by_sample(axes)))
    return value if axes[0] == (None,) else Laid(value, axes)
