"""pad with zeros around height and width, and beside the channels: the integer that stands for zero is put there."""

from __future__ import annotations

import math

import torch

from ..lower import Lowering, Node
from ..real import Lowered, Real

_aten = torch.ops.aten


def _build(node: Node) -> Lowered:
    x, sizes = node.on_grid("self"), list(node.given["pad"])
    if node.given.get("mode", "constant") != "constant" or node.given["value"]:
        raise node.unsupported("it pads with something other than zeros")
    if len(sizes) > 6 or min(sizes) < 0:
        raise node.unsupported("it crops, or pads more than channels, height and width")
    left, right, top, bottom, *channels = [*sizes, 0, 0, 0, 0][:6]
    value = x.value
    if top or bottom or left or right:
        value = node.step("pad2d", value, padding=(top, bottom, left, right), pad_value=x.zero)
    return Real(_beside(node, value, channels, x.zero) if any(channels) else value, x.scale, x.zero)


def _beside(node: Node, value: int, more: list[int], zero: int) -> int:
    """More channels before and behind those of an image: rows of zeros above and below its channels as rows."""
    channels, *sizes = node.builder[value].shape
    rows = node.step("reshape", value, shape=(channels, math.prod(sizes)))
    padded = node.step("pad2d", rows, padding=(*more, 0, 0), pad_value=zero)
    return node.step("reshape", padded, shape=(channels + sum(more), *sizes))


LOWERING = Lowering(frozenset({_aten.pad.default, _aten.constant_pad_nd.default}), _build)
