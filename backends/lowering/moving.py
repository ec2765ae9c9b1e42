"""Calls that only move values: at once, or behind the rounding where the values have several scales."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import fx

from ...compiler.arrays import Integers
from ...compiler.graph import arguments, shape
from .lower import ALONE, Node
from .real import Moved, Real

Move = Callable[[int], int]
"""A value of the program -> the value behind steps that only move it."""


def movable(node: Node, name: str) -> Real | Moved:
    """An argument whose values can be moved."""
    value = node.given[name]
    return value if isinstance(value, Moved) else node.real(name)


def moved(x: Real | Moved, move: Move) -> Real | Moved:
    """The values of x in other places; what they stand for stays with each."""
    if isinstance(x, Real) and x.scale.size == 1 and x.rest is None:
        return replace(x, value=move(x.value))
    return Moved((x,), lambda values: move(values[0]))


def sizes(node: Node, operand: int = 0) -> tuple[int, ...]:
    """The shape, without batch, of a tensor that the call reads."""
    return tuple(int(size) for size in shape(node.node.all_input_nodes[operand])[1:])


def joined(node: Node, parts: Sequence[Real | Moved], axis: int) -> Real | Moved:
    """The values of several tensors side by side along an axis, counted without the batch."""
    whole = Moved(tuple(parts), lambda values: _chain(node, values, axis))
    finished = all(isinstance(part, Real) and part.rest is None for part in parts)
    return (whole.at_once() if finished else None) or whole


def _chain(node: Node, values: Sequence[int], axis: int) -> int:
    """The values one behind the other; what begins as another chain did goes on from there."""
    whole = values[0]
    for value in values[1:]:
        known = node.builder.known("concat", whole, value, axis=axis)
        whole = node.step("concat", whole, value, axis=axis) if known is None else known
    return whole


def cut(node: Node, value: int, axis: int, start: int, stop: int, step: int = 1) -> int:
    """Some of the integers along an axis."""
    whole = node.builder[value].shape
    if (start, step) == (0, 1) and stop >= whole[axis]:
        return value
    places = [(0, size, 1) for size in whole]
    places[axis] = (start, min(stop, whole[axis]), step)
    first, last, each = zip(*places, strict=True)
    return node.step("slice", value, start=first, stop=last, step=each)


def taken(node: Node, value: int, axis: int, places: Sequence[int]) -> int:
    """The integers at some places along an axis: by a slice where they are evenly spaced, and else one by one."""
    distances = {b - a for a, b in pairwise(places)}
    if len(places) == 1 or (len(distances) == 1 and min(distances) > 0):
        return cut(node, value, axis, places[0], places[-1] + 1, next(iter(distances), 1))
    return node.step("take", value, node.builder.shared(np.asarray(places, np.int64)), axis=axis)


def picked(node: Node) -> Real | Moved:
    """What a call picks, as it does itself to the numbers of the places."""
    return picked_as(node, lambda ids: _again(node, ids))


def picked_as(node: Node, pick: Callable[[torch.Tensor], torch.Tensor]) -> Real | Moved:
    """What a call picks of the places of one sample, by number: along each axis on its own, if it does, or at once."""
    x, old = movable(node, next(iter(node.given))), sizes(node)
    found = pick(torch.arange(math.prod(old), dtype=torch.float64).reshape(1, *old)).long()
    if found.shape != (1, *node.shape):
        raise node.unsupported("it does not keep the batch as its first axis", ALONE)
    places = _along_axes(found[0].numpy(), old)

    def move(value: int) -> int:
        if places is None:
            flat = node.shaped(value, (math.prod(old),))
            return node.shaped(taken(node, flat, 0, found.flatten().tolist()), node.shape)
        for axis, chosen in enumerate(places):
            if not np.array_equal(chosen, np.arange(old[axis])):
                value = taken(node, value, axis, chosen.tolist())
        return value

    return moved(x, move)


def _along_axes(found: Integers, old: tuple[int, ...]) -> list[Integers] | None:
    """The places along each axis, if what is picked of it does not depend on the others."""
    if found.ndim != len(old) or not found.size:
        return None
    strides = np.cumprod([1, *old[:0:-1]])[::-1]
    origins = [np.moveaxis(found, axis, 0).reshape(len_, -1)[:, 0] for axis, len_ in enumerate(found.shape)]
    places = [origin // stride % size for origin, stride, size in zip(origins, strides, old, strict=True)]
    whole = sum(np.ix_(*(p * stride for p, stride in zip(places, strides, strict=True))))
    return places if np.array_equal(found, whole) else None


def _again(node: Node, ids: torch.Tensor) -> torch.Tensor:
    """The call on another tensor, of one sample."""
    target: Any = node.node.target
    given = {name: _of_one_sample(value) for name, value in list(arguments(node.node).items())[1:]}
    again: torch.Tensor = target(ids, **given)
    return again


def _of_one_sample(value: Any) -> Any:
    """An argument; a size of the batch is 1, and a tensor has the shape alone."""
    if isinstance(value, (list, tuple)):
        return [_of_one_sample(item) for item in value]
    if not isinstance(value, fx.Node):
        return value
    given = value.meta["val"]
    return torch.empty(1, *map(int, given.shape[1:])) if isinstance(given, torch.Tensor) else 1
