"""The inverse of a view: what a tensor is once a view of it has another value."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import torch
from torch import fx

from ..graph import arguments
from .pure import Emit

_aten = torch.ops.aten

_Inverse = Callable[[dict[str, Any], fx.Node, fx.Node, torch.Tensor, Emit], fx.Node | None]
"""(arguments of the view, whole tensor before, new value of the view, the whole's fake value, emit) -> whole after."""


def base(view: fx.Node, source: fx.Node) -> fx.Node:
    """The tensor that a view is of; an item's is that of the list."""
    return arguments(source)["self"] if view.target is operator.getitem else source


def unview(view: fx.Node, source: fx.Node, whole: fx.Node, part: fx.Node, emit: Emit) -> fx.Node | None:
    """Append the whole tensor with the part in place of the view; None for a view without an inverse.

    view: the call that made the view.   source: what it is a view of, in the graph that is read.
    """
    fake = base(view, source).meta["val"]
    if view.target is operator.getitem:
        return _item(source, view.args[1], whole, part, emit)
    inverse = _INVERSES.get(view.target)
    return inverse(arguments(view), whole, part, fake, emit) if inverse else None


def is_part(view: fx.Node) -> bool:
    """Whether a view may leave out some of what it is a view of."""
    return view.target is operator.getitem or view.target in _PARTS


def _item(source: fx.Node, index: Any, whole: fx.Node, part: fx.Node, emit: Emit) -> fx.Node | None:
    given, dim = arguments(source), arguments(source).get("dim")
    items = source.meta["val"]
    index %= len(items)
    if source.target is _aten.unbind.int:
        return emit(_aten.select_scatter.default, whole, part, dim, index)
    if source.target not in _SPLITS or not all(isinstance(item.shape[given["dim"]], int) for item in items):
        return None
    start = sum(item.shape[dim] for item in items[:index])
    return emit(_aten.slice_scatter.default, whole, part, dim, start, start + items[index].shape[dim], 1)


def _reshaped(given: dict[str, Any], whole: fx.Node, part: fx.Node, fake: torch.Tensor, emit: Emit) -> fx.Node | None:
    sizes = [size if isinstance(size, int) else -1 for size in fake.shape]
    if sizes.count(-1) > 1 or (-1 in sizes and 0 in sizes):
        return None
    return emit(_aten.reshape.default, part, sizes)


def _sliced(given: dict[str, Any], whole: fx.Node, part: fx.Node, fake: torch.Tensor, emit: Emit) -> fx.Node:
    where = (given["dim"], given["start"], given["end"], given["step"])
    return emit(_aten.slice_scatter.default, whole, part, *where)


def _permuted(given: dict[str, Any], whole: fx.Node, part: fx.Node, fake: torch.Tensor, emit: Emit) -> fx.Node:
    dims = [dim % fake.dim() for dim in given["dims"]]
    return emit(_aten.permute.default, part, [dims.index(i) for i in range(len(dims))])


_PARTS = frozenset({_aten.slice.Tensor, _aten.select.int, _aten.diagonal.default})
_SPLITS = frozenset({_aten.split.Tensor, _aten.split.sizes, _aten.split_with_sizes.default, _aten.chunk.default})
_INVERSES: dict[Any, _Inverse] = {
    **dict.fromkeys((_aten.view.default, _aten.view_as.default, _aten.unflatten.int), _reshaped),
    **dict.fromkeys((_aten.squeeze.default, _aten.squeeze.dim, _aten.squeeze.dims), _reshaped),
    _aten.unsqueeze.default: lambda given, whole, part, fake, emit: emit(_aten.squeeze.dim, part, given["dim"]),
    _aten.alias.default: lambda given, whole, part, fake, emit: part,
    _aten.t.default: lambda given, whole, part, fake, emit: emit(_aten.t.default, part),
    _aten.transpose.int: lambda given, whole, part, fake, emit: emit(
        _aten.transpose.int, part, given["dim0"], given["dim1"]
    ),
    _aten.permute.default: _permuted,
    _aten.slice.Tensor: _sliced,
    _aten.select.int: lambda given, whole, part, fake, emit: emit(
        _aten.select_scatter.default, whole, part, given["dim"], given["index"]
    ),
    _aten.diagonal.default: lambda given, whole, part, fake, emit: emit(
        _aten.diagonal_scatter.default, whole, part, given["offset"], given["dim1"], given["dim2"]
    ),
}
