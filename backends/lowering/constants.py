"""Constants beside values of one grid, as what an input is multiplied by zero and added to."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...compiler.arrays import Integers
from .affine import channelwise
from .lower import Node
from .moving import cut, taken
from .real import Real


def codes_on(node: Node, reals: Any, grid: Real) -> Integers:
    """The integers of real numbers that lie on a grid."""
    codes = np.floor(reals / float(grid.scale[0]) + 0.5)
    if not np.isfinite(reals).all() or (np.abs(codes * float(grid.scale[0]) - reals) > np.abs(reals) * 2.0**-20).any():
        number = float(np.ravel(reals)[0])
        raise node.unsupported(f"it puts in {number:g}, which its grid of step {float(grid.scale[0]):g} does not have")
    found: Integers = codes.astype(np.int64) + grid.zero
    return found


def constant(node: Node, grid: Real, integers: Integers) -> int:
    """Integers as a value, with as many axes as the result of the call."""
    if integers.ndim > len(node.shape):
        if integers.shape[0] != 1:
            raise node.unsupported("a constant in it differs along the batch")
        integers = integers[0]
    value = node.shaped(grid.value, (math.prod(node.builder[grid.value].shape), 1, 1))
    value = taken(node, cut(node, value, 0, 0, 1), 0, [0] * integers.size)
    value = channelwise(node, value, np.zeros(integers.size, np.int64), integers.reshape(-1))
    return node.shaped(value, (*[1] * (len(node.shape) - integers.ndim), *integers.shape))
