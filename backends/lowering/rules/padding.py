"""pad: a border of one number that lies on the grid, of the values at the edge, or of those mirrored; or less than all.

An axis that is not one of the last two is the last while a border is put there: where memory has channels innermost, as
compiled C has, that moves nothing.
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch

from ....compiler.operators import MAX_POOLS
from ..affine import affine
from ..lower import Lowering, Node
from ..moving import cut, joined, picked, taken
from ..real import Lowered, Moved, Real

_aten = torch.ops.aten


def _build(node: Node) -> Lowered:
    if node.given.get("mode", "constant") != "constant":
        return picked(node)
    x, sizes = node.on_grid("self"), list(node.given["pad"])
    rank = len(node.builder[x.value].shape)
    if len(sizes) > 2 * rank:
        raise node.unsupported("it pads the batch")
    value = x.value
    pairs = [*[(0, 0)] * (rank - len(sizes) // 2), *reversed(list(zip(sizes[::2], sizes[1::2], strict=True)))]
    for axis, (front, behind) in enumerate(pairs):
        value = cut(node, value, axis, max(0, -front), node.builder[value].shape[axis] + min(0, behind))
    x = replace(x, value=value)
    borders = [(max(0, front), max(0, behind)) for front, behind in pairs]
    fill = _fill(node, x)
    if fill is None:
        return _framed(node, x, borders)
    for axis, border in enumerate(borders[:-2]):
        value = _around(node, value, axis, border, fill)
    last = borders[-2:] if rank > 1 else [(0, 0), *borders]
    return replace(x, value=_around_planes(node, value, last, fill))


def _fill(node: Node, x: Real) -> int | None:
    """The integer that stands for what is put around; nothing where the grid of x has none."""
    real = float(node.given["value"] or 0)
    steps, seen = real / float(x.scale[0]), node.builder[x.value].range
    if real == -math.inf and all(reader.target in MAX_POOLS for reader in node.node.users):
        return seen.lo  # which wins no maximum either
    if not math.isfinite(steps):
        raise node.unsupported(f"it pads with {real:g}, which no grid has", "pad with a number")
    has = abs(steps - round(steps)) <= abs(steps) * 2**-20 and round(steps) + x.zero in seen
    return round(steps) + x.zero if has or not real else None


def _framed(node: Node, x: Real, borders: list[tuple[int, int]]) -> Real | Moved:
    """A border off the grid of x, which the grid behind both rounds."""
    found: Real | Moved = x
    shape = list(node.builder[x.value].shape)
    for axis, border in enumerate(borders):
        ends = [_constant(node, x, [*shape[:axis], size, *shape[axis + 1 :]]) if size else None for size in border]
        shape[axis] += sum(border)
        found = joined(node, [part for part in (ends[0], found, ends[1]) if part is not None], axis)
    return found


def _constant(node: Node, x: Real, shape: list[int]) -> Real:
    """The number of the border in that shape, made of an input that is multiplied by zero."""
    first = node.step("reshape", x.value, shape=(math.prod(node.builder[x.value].shape), 1, 1))
    one = affine(node, replace(x, value=cut(node, first, 0, 0, 1)), 0.0, float(node.given["value"]))
    flat = taken(node, node.shaped(one.value, (1,)), 0, [0] * math.prod(shape))
    return replace(one, value=node.shaped(flat, tuple(shape)), rest=None)


def _around(node: Node, value: int, axis: int, border: tuple[int, int], fill: int) -> int:
    if not any(border):
        return value
    axes = tuple(range(len(node.builder[value].shape)))
    last = (*axes[:axis], *axes[axis + 1 :], axis)
    value = node.step("transpose", value, axes=last)
    value = node.step("pad2d", value, padding=(0, 0, *border), pad_value=fill)
    return node.step("transpose", value, axes=tuple(map(last.index, axes)))


def _around_planes(node: Node, value: int, borders: list[tuple[int, int]], fill: int) -> int:
    if not any(map(any, borders)):
        return value
    shape = node.builder[value].shape
    value = node.shaped(value, shape if len(shape) > 1 else (1, *shape))
    value = node.step("pad2d", value, padding=(*borders[0], *borders[1]), pad_value=fill)
    return node.shaped(value, node.builder[value].shape[-len(shape) :])


LOWERING = Lowering(frozenset({_aten.pad.default, _aten.constant_pad_nd.default}), _build)
