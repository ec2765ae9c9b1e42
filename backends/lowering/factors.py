"""Constant factors that differ along several axes: a product of two values, one of which is made of constants."""

from __future__ import annotations

import numpy as np

from ...compiler.arrays import Floats, Integers
from .constants import constant
from .lower import Node
from .products import product
from .real import Real, Sum

BITS = 22
"""Of the magnitude of a factor: beside a value of 8 bits the product has 31 with its sign."""


def along_several_axes(k: Floats) -> bool:
    """Whether constants differ along more than one axis."""
    return sum(bool(size > 1) for size in k.shape) > 1


def weighed(node: Node, name: str, k: Floats) -> Real | Sum:
    """k x of an argument on a grid; k broadcasts against it as in the call."""
    x = node.on_grid(name)
    sizes = node.builder[x.value].shape
    x = Real(node.shaped(x.value, (*[1] * (len(node.shape) - len(sizes)), *sizes)), x.scale, x.zero)
    codes, step = _units(k)
    return product(node, x, Real(constant(node, x, codes), np.array([step])), "multiply", 1)


def _units(k: Floats) -> tuple[Integers, float]:
    """(integers, step) with k = step * integers: exactly where all are multiples of the least, as in a mask."""
    sizes = np.abs(k[k != 0])
    if not sizes.size:
        return np.zeros(k.shape, np.int64), 1.0
    codes = np.floor(k / sizes.min() + 0.5)
    if sizes.max() <= sizes.min() * 2.0**BITS and (codes * sizes.min() == k).all():
        return codes.astype(np.int64), float(sizes.min())
    step = sizes.max() / 2.0**BITS
    return np.floor(k / step + 0.5).astype(np.int64), float(step)
