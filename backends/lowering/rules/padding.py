"""pad: a border of one number that lies on the grid, of the values at the edge, or of those mirrored; or less than all.

A border along an axis that is not one of the last two is put around rows: all that lies behind that axis, as one.
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch

from ..lower import Lowering, Node
from ..moving import cut, picked
from ..real import Lowered, Real

_aten = torch.ops.aten


def _build(node: Node) -> Lowered:
    if node.given.get("mode", "constant") != "constant":
        return picked(node)
    x, sizes = node.on_grid("self"), list(node.given["pad"])
    rank = len(node.builder[x.value].shape)
    if len(sizes) > 2 * rank:
        raise node.unsupported("it pads the batch")
    fill, value = _fill(node, x), x.value
    pairs = [*[(0, 0)] * (rank - len(sizes) // 2), *reversed(list(zip(sizes[::2], sizes[1::2], strict=True)))]
    for axis, (front, behind) in enumerate(pairs):
        value = cut(node, value, axis, max(0, -front), node.builder[value].shape[axis] + min(0, behind))
    borders = [(max(0, front), max(0, behind)) for front, behind in pairs]
    for axis, border in enumerate(borders[:-2]):
        value = _around(node, value, axis, border, fill)
    last = borders[-2:] if rank > 1 else [(0, 0), *borders]
    return replace(x, value=_around_planes(node, value, last, fill))


def _fill(node: Node, x: Real) -> int:
    """The integer that stands for what is put around."""
    real = float(node.given["value"] or 0)
    steps = real / float(x.scale[0])
    if not math.isfinite(steps) or abs(steps - round(steps)) > abs(steps) * 2**-20:
        raise node.unsupported(f"it pads with {real:g}, which its grid of step {float(x.scale[0]):g} does not have")
    return round(steps) + x.zero


def _around(node: Node, value: int, axis: int, border: tuple[int, int], fill: int) -> int:
    if not any(border):
        return value
    shape = node.builder[value].shape
    rows = (math.prod(shape[:axis]), shape[axis], math.prod(shape[axis + 1 :]))
    value = _around_planes(node, node.step("reshape", value, shape=rows), [border, (0, 0)], fill)
    return node.step("reshape", value, shape=(*shape[:axis], shape[axis] + sum(border), *shape[axis + 1 :]))


def _around_planes(node: Node, value: int, borders: list[tuple[int, int]], fill: int) -> int:
    if not any(map(any, borders)):
        return value
    shape = node.builder[value].shape
    value = node.shaped(value, shape if len(shape) > 1 else (1, *shape))
    value = node.step("pad2d", value, padding=(*borders[0], *borders[1]), pad_value=fill)
    return node.shaped(value, node.builder[value].shape[-len(shape) :])


LOWERING = Lowering(frozenset({_aten.pad.default, _aten.constant_pad_nd.default}), _build)
