"""Pure data movement, seen from behind: which channel reads each element of the input of a call that only moves values.

An `index` says it: integers, as many axes as the tensor, of size 1 where they do not differ; NOBODY: nothing reads it.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, fx

from ..graph import arguments, shape
from ..operators import CONCATENATIONS, CONVERSIONS, RESHAPES, aten, calls
from .norm import is_second

NOBODY = -1
_SAME = calls("contiguous", "clone", "alias", "dropout", "feature_dropout") | CONVERSIONS
_RESHAPES = RESHAPES | calls("unflatten", "_unsafe_view", "view_as", "reshape_as", "squeeze")
_PERMUTATIONS = calls("permute", "transpose", "t", "mT", "movedim", "moveaxis", "swapaxes", "swapdims")
_SPLITS = calls("chunk", "split", "split_with_sizes")
_BATCH = 12
"""Stands for every size that only the caller knows: it can be halved, and cut in three or four."""


def behind(node: fx.Node, index: Tensor) -> list[tuple[fx.Node, Tensor]]:
    """Each tensor that a call moves, with its index, from the index of the call's value; nothing for another call."""
    if node.target is operator.getitem:
        return _piece(node, index)
    if node.op != "call_function" or not node.args:
        return []
    given = arguments(node) if isinstance(node.target, torch._ops.OpOverload) else {}
    x: Any = next(iter(given.values()), None)
    if node.target in CONCATENATIONS:
        return _joined(x, given["dim"] % index.dim(), index)
    if not isinstance(x, fx.Node) or not isinstance(x.meta["val"], Tensor):
        return []
    if node.target in _SPLITS:
        return [(x, index)]
    if node.target in _SAME:
        return [(x, index)] if x.meta["val"].dtype == node.meta["val"].dtype else []
    found = _moved(node, given, sizes(x), index)
    return [] if found is None else [(x, compressed(found))]


def feeds(node: fx.Node) -> bool:
    """Whether what a node computes goes one way only: to one reader, or in pieces that do not overlap to one each."""
    readers = [reader for reader in node.users if not is_second(reader)]
    if node.target in _SPLITS:
        return len({reader.args[1] for reader in readers}) == len(readers)
    if len(readers) != 1:
        return False
    return readers[0].op == "output" or sum(n is node for n in _operands(readers[0])) == 1


def sizes(node: fx.Node) -> list[int]:
    """The shape of a node's tensor, with a number for every size that only the caller knows."""
    return [size if isinstance(size, int) else _supposed(size) for size in shape(node)]


def reshaped(index: Tensor, old: Sequence[int], new: Sequence[int]) -> Tensor | None:
    """The index of a tensor of shape `old` once that is of shape `new`; None where the two have no common elements."""
    if math.prod(old) != math.prod(new) or 0 in old:
        return None
    wide: list[int] = []
    narrow: list[int] = []
    for mine, theirs in _blocks(old, new):
        varies = any(size > 1 for size in index.shape[mine])
        wide += old[mine] if varies else [1] * len(old[mine])
        narrow += new[theirs] if varies else [1] * len(new[theirs])
    return index.expand(wide).reshape(narrow)


def compressed(index: Tensor) -> Tensor:
    """The index, of size 1 along every axis along which it does not differ."""
    for axis in range(index.dim()):
        first = index.narrow(axis, 0, 1)
        if index.shape[axis] > 1 and torch.equal(first.expand_as(index), index):
            index = first
    return index


def reach(index: Tensor, axis: int, size: int, count: int) -> Tensor | None:
    """For each of `count` channels its place along an axis of that size, as the index tells; None for two places.

    A channel that is not read is at NOBODY.
    """
    places = torch.arange(size).reshape([-1 if i == axis else 1 for i in range(index.dim())])
    index, places = index + torch.zeros_like(places), places + torch.zeros_like(index)
    places, read = places[index != NOBODY], index[index != NOBODY]
    found = torch.full((count,), NOBODY)
    found[read] = places
    return found if torch.equal(found[read], places) else None


def _supposed(size: Any) -> int:
    expression = size.node.expr
    return int(expression.subs(dict.fromkeys(expression.free_symbols, _BATCH)))


def _operands(reader: fx.Node) -> list[Any]:
    found: list[Any] = []
    fx.map_arg((reader.args, reader.kwargs), found.append)
    return found


def _moved(node: fx.Node, given: dict[str, Any], old: list[int], index: Tensor) -> Tensor | None:
    if node.target in _RESHAPES:
        return reshaped(index, sizes(node), old)
    if node.target in _PERMUTATIONS:
        probe = torch.empty([axis + 1 for axis in range(len(old))], device="meta")
        order = [size - 1 for size in _again(node, given, probe).shape]
        return index.permute([order.index(axis) for axis in range(len(order))])
    if node.target in calls("channel_shuffle"):
        return _picked(old, 1, index, lambda ids: _again(node, given, ids))
    if node.target is aten.slice.Tensor and not any(isinstance(value, fx.Node) for value in list(given.values())[1:]):
        return _picked(old, given["dim"] % len(old), index, lambda ids: _again(node, given, ids))
    return None


def _again(node: fx.Node, given: dict[str, Any], x: Tensor) -> Any:
    """The call, with another first argument."""
    target: Any = node.target
    return target(x, **dict(list(given.items())[1:]))


def _picked(old: list[int], axis: int, index: Tensor, pick: Callable[[Tensor], Tensor]) -> Tensor:
    """The index behind a call that picks from one axis: nobody reads what it leaves out."""
    ids = torch.arange(old[axis], dtype=torch.float64).reshape([-1 if i == axis else 1 for i in range(len(old))])
    taken = pick(ids).reshape(-1).long()
    spread = [old[axis] if i == axis else size for i, size in enumerate(index.shape)]
    found = torch.full(spread, NOBODY)
    read = [len(taken) if i == axis else size for i, size in enumerate(index.shape)]
    return found.index_copy(axis, taken, index.expand(read))


def _piece(node: fx.Node, index: Tensor) -> list[tuple[fx.Node, Tensor]]:
    """Behind one of the tensors that a call splits another into."""
    call, which = node.args
    if not isinstance(call, fx.Node) or call.target not in _SPLITS:
        return []
    given = arguments(call)
    x = given["self"]
    axis = given["dim"] % len(shape(x))
    found = _picked(sizes(x), axis, index, lambda ids: _again(call, given, ids)[which])
    return [(call, found)]


def _joined(parts: Sequence[fx.Node], axis: int, index: Tensor) -> list[tuple[fx.Node, Tensor]]:
    if index.shape[axis] == 1:
        return [(part, index) for part in parts]
    cut = torch.split_with_sizes(index, [sizes(part)[axis] for part in parts], dim=axis)
    return [(part, compressed(piece)) for part, piece in zip(parts, cut, strict=True)]


def _blocks(old: Sequence[int], new: Sequence[int]) -> list[tuple[slice, slice]]:
    """The least runs of axes of both shapes that hold the same elements."""
    ends = [sorted(_products(shape).items()) for shape in (old, new)]
    common = sorted(dict(ends[0]).keys() & dict(ends[1]).keys())
    cuts = [(dict(ends[0])[product], dict(ends[1])[product]) for product in common]
    cuts = [(0, 0), *cuts[:-1], (len(old), len(new))]
    return [(slice(a, b), slice(c, d)) for (a, c), (b, d) in pairwise(cuts)]


def _products(shape: Sequence[int]) -> dict[int, int]:
    """Product of the first sizes -> how many axes that takes, axes of size 1 behind them not counted."""
    found: dict[int, int] = {}
    product = 1
    for axis, size in enumerate(shape):
        product *= size
        if size > 1:
            found[product] = axis + 1
    return found
