"""One convolution step for one to three axes, from what calls say of stride, padding and dilation."""

from __future__ import annotations

from dataclasses import dataclass

from ...compiler.arrays import Integers
from .lower import Node


@dataclass(frozen=True)
class Geometry:
    """What a convolution says of each axis it goes along.   padding: (before, behind)."""

    stride: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    dilation: tuple[int, ...]
    groups: int = 1


def convolved(node: Node, value: int, bias: int, weight: Integers, geometry: Geometry, zero: int) -> int:
    """The accumulators, (outputs, *sizes).   weight: (outputs, depth, *kernel).   zero: stands in the border."""
    outputs, depth, *kernel = weight.shape
    channels, *sizes = node.builder[value].shape
    line = len(kernel) == 1  # is an image of one row
    one = (1,) * line
    value = node.step("reshape", value, shape=(channels, 1, *sizes)) if line else value
    value = node.step(
        "conv3d" if len(kernel) == 3 else "conv2d",
        value,
        node.builder.shared(weight.reshape(outputs, depth, *one, *kernel)),
        bias,
        stride=(*one, *geometry.stride),
        padding=(*(0, 0) * line, *(size for border in geometry.padding for size in border)),
        dilation=(*one, *geometry.dilation),
        groups=geometry.groups,
        pad_value=zero,
    )
    return node.step("reshape", value, shape=(outputs, *node.builder[value].shape[2:])) if line else value
