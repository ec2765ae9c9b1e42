"""permute, transpose and the shuffles of pixels and channels: the same integers in other places.

pixel_shuffle(r):    (C r r, H, W) -> (C, r, r, H, W) -> (C, H, r, W, r) -> (C, H r, W r)     unshuffle: backwards
channel_shuffle(g):  (g C, H, W) -> (g, C, H, W) -> (C, g, H, W) -> (C g, H, W)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from ..lower import Lowering, Node
from ..moving import movable, moved, sizes
from ..real import Lowered

_aten = torch.ops.aten

Shape = tuple[int, ...]
Move = tuple[Shape, Shape]
"""The shape that the integers are seen in first, and then the order of its axes."""


def _permuted(node: Node, sizes: Shape) -> Move:
    rank = len(sizes) + 1
    return sizes, _behind_batch(node, [axis % rank for axis in node.given["dims"]])


def _transposed(node: Node, sizes: Shape) -> Move:
    rank = len(sizes) + 1
    a, b = (node.given[name] % rank for name in ("dim0", "dim1"))
    axes = [*range(rank)]
    axes[a], axes[b] = b, a
    return sizes, _behind_batch(node, axes)


def _behind_batch(node: Node, axes: list[int]) -> Shape:
    if axes[0]:
        raise node.unsupported("it moves the batch axis")
    return tuple(axis - 1 for axis in axes[1:])


def _shuffled_pixels(node: Node, sizes: Shape) -> Move:
    r, (channels, height, width) = node.given["upscale_factor"], sizes
    return (channels // (r * r), r, r, height, width), (0, 3, 1, 4, 2)


def _gathered_pixels(node: Node, sizes: Shape) -> Move:
    r, (channels, height, width) = node.given["downscale_factor"], sizes
    return (channels, height // r, r, width // r, r), (0, 2, 4, 1, 3)


def _shuffled_channels(node: Node, sizes: Shape) -> Move:
    groups, (channels, *rest) = node.given["groups"], sizes
    return (groups, channels // groups, *rest), (1, 0, *range(2, 2 + len(rest)))


_MOVES: Mapping[Any, Callable[[Node, Shape], Move]] = {
    _aten.permute.default: _permuted,
    _aten.transpose.int: _transposed,
    _aten.pixel_shuffle.default: _shuffled_pixels,
    _aten.pixel_unshuffle.default: _gathered_pixels,
    _aten.channel_shuffle.default: _shuffled_channels,
}


def _build(node: Node) -> Lowered:
    x, old = movable(node, "self"), sizes(node)
    try:
        seen, axes = _MOVES[node.node.target](node, old)
    except ValueError:
        raise node.unsupported("its input is no batch of images") from None

    def move(value: int) -> int:
        value = value if seen == old else node.step("reshape", value, shape=seen)
        value = node.step("transpose", value, axes=axes)
        return value if node.builder[value].shape == node.shape else node.step("reshape", value, shape=node.shape)

    return moved(x, move)


LOWERING = Lowering(frozenset(_MOVES), _build)
