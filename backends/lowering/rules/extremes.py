"""amax, amin, max and min over an axis, argmax, argmin, and adaptive maximum pools: maxima of integers, on their grid.

The place of a maximum is the first: of n d + (n - 1 - i), for d = min(max(x - max, -1), 0), the largest is n - 1 - i.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from ....compiler.operators import calls
from ..affine import multiplied
from ..exact import difference, held, largest, largest_of_windows, reflected
from ..lower import Lowering, Node
from ..real import Lowered, Real, Several
from ..windows import adaptive

_aten = torch.ops.aten
_OVER_AXES = frozenset({_aten.amax.default, _aten.amin.default})
_WITH_PLACES = frozenset({_aten.max.dim, _aten.min.dim})
_PLACES = frozenset({_aten.argmax.default, _aten.argmin.default})
_POOLS = calls("adaptive_max_pool1d", "adaptive_max_pool2d", "adaptive_max_pool3d")
_LEAST = frozenset({_aten.amin.default, _aten.min.dim, _aten.argmin.default})


def _build(node: Node) -> Lowered:
    x = node.real("self")
    if x.scale.size > 1:
        raise node.unsupported("its input has one scale a channel that no grid has rounded")
    x = replace(x, rest=None)
    if node.node.target in _POOLS:
        return _pooled(node, x)
    axes, whole = _axes(node, x), node.builder[x.value].shape
    value = reflected(node, x.value) if node.node.target in _LEAST else x.value
    if node.node.target in _PLACES:
        return _place(node, value, axes[0])
    found = value
    for axis in axes:
        found = largest(node, found, axis)
    kept = tuple(size for axis, size in enumerate(whole) if node.given["keepdim"] or axis not in axes)
    kept = tuple(1 if axis in axes else size for axis, size in enumerate(whole)) if node.given["keepdim"] else kept
    found = node.shaped(found, kept)
    result = replace(x, value=reflected(node, found) if node.node.target in _LEAST else found)
    if node.node.target not in _WITH_PLACES:
        return result
    wanted = any(reader.args[1] == 1 for reader in node.node.users)
    return Several((result, _place(node, value, axes[0]) if wanted else result))


def _axes(node: Node, x: Real) -> list[int]:
    """The axes that it goes over, counted without the batch."""
    rank = len(node.builder[x.value].shape) + 1
    dim = node.given["dim"]
    dims = list(range(rank)) if dim is None or dim == [] else [dim] if isinstance(dim, int) else dim
    axes = sorted(axis % rank - 1 for axis in dims)
    if axes[0] < 0:
        raise node.unsupported("it goes over the batch")
    return axes


def _place(node: Node, value: int, axis: int) -> Real:
    """The place of the first maximum along an axis."""
    shape = node.builder[value].shape
    n = shape[axis]
    below = held(node, difference(node, value, largest(node, value, axis)), -1, 0)
    keys = multiplied(node, below, axis, np.full(n, n), np.arange(n)[::-1])
    place = reflected(node, held(node, largest(node, keys, axis), 0, n - 1), n - 1)
    kept = shape[:axis] + (1,) * bool(node.given["keepdim"]) + shape[axis + 1 :]
    return Real(node.shaped(place, kept), np.ones(1))


def _pooled(node: Node, x: Real) -> Several:
    if any(reader.args[1] == 1 for reader in node.node.users):
        raise node.unsupported("the places of its maxima are read")
    value, spans = x.value, adaptive(node, node.builder[x.value].shape)
    for axis, span in enumerate(spans, len(node.builder[value].shape) - len(spans)):
        value = largest_of_windows(node, value, axis, span.windows)
    result = replace(x, value=value)
    return Several((result, result))


LOWERING = Lowering(_OVER_AXES | _WITH_PLACES | _PLACES | _POOLS, _build)
