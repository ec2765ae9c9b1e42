"""permute, transpose and their kin, and the shuffles of pixels and channels: the same integers in other places.

pixel_shuffle(r):    (C r r, H, W) -> (C, r, r, H, W) -> (C, H, r, W, r) -> (C, H r, W r)     unshuffle: backwards
channel_shuffle(g):  (g C, H, W) -> (g, C, H, W) -> (C, g, H, W) -> (C g, H, W)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from ....compiler.operators import calls
from ..layouts import elsewhere, turned
from ..lower import Lowering, Node
from ..moving import movable, moved, sizes
from ..real import Lowered

_aten = torch.ops.aten

Shape = tuple[int, ...]
Move = tuple[Shape, Shape]
"""The shape that the integers are seen in first, and then the order of its axes."""


def _permuted(node: Node, sizes: Shape) -> Move:
    """The order of axes that the call gives a tensor of as many, each of another size."""
    target: Any = node.node.target
    given = list(node.given.values())[1:]
    axes = list(target(torch.empty(tuple(range(len(sizes) + 1)), device="meta"), *given).shape)
    if axes[0]:
        raise node.unsupported("it moves the batch axis")
    return sizes, tuple(axis - 1 for axis in axes[1:])


def _shuffled_pixels(node: Node, sizes: Shape) -> Move:
    r, (channels, height, width) = node.given["upscale_factor"], sizes
    return (channels // (r * r), r, r, height, width), (0, 3, 1, 4, 2)


def _gathered_pixels(node: Node, sizes: Shape) -> Move:
    r, (channels, height, width) = node.given["downscale_factor"], sizes
    return (channels, height // r, r, width // r, r), (0, 2, 4, 1, 3)


def _shuffled_channels(node: Node, sizes: Shape) -> Move:
    groups, (channels, *rest) = node.given["groups"], sizes
    return (groups, channels // groups, *rest), (1, 0, *range(2, 2 + len(rest)))


_AXES = calls("permute", "transpose", "mT", "movedim", "moveaxis", "swapaxes", "swapdims")
_MOVES: Mapping[Any, Callable[[Node, Shape], Move]] = {
    **dict.fromkeys(_AXES, _permuted),
    _aten.pixel_shuffle.default: _shuffled_pixels,
    _aten.pixel_unshuffle.default: _gathered_pixels,
    _aten.channel_shuffle.default: _shuffled_channels,
}


def _build(node: Node) -> Lowered:
    if node.node.target in _AXES and elsewhere(node):
        return turned(node)
    x, old = movable(node, "self"), sizes(node)
    try:
        seen, axes = _MOVES[node.node.target](node, old)
    except ValueError:
        raise node.unsupported("its input is no batch of images") from None

    def move(value: int) -> int:
        return node.shaped(node.step("transpose", node.shaped(value, seen), axes=axes), node.shape)

    return moved(x, move)


LOWERING = Lowering(frozenset(_MOVES), _build)
