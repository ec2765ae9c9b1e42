"""Rows: values seen with some of their axes as the last one, standardized to 2^-unit, as fine as 30 bits allow."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from ..fixed.ops.standardize import WIDE, widest
from ..fixed.types import Range
from .lower import Node
from .real import Real

BITS = 22
"""The most bits behind the point of what is standardized."""


class Rows(NamedTuple):
    """Standardized rows.   centred: less their mean.   eps: is added to the variance."""

    centred: bool
    eps: float

    def of(self, node: Node, x: Real, shape: tuple[int, ...]) -> Real:
        """The last axis of that shape."""
        n = shape[-1]
        seen = node.builder[x.value].range
        d, v = widest(n, Range(seen.lo - x.zero, seen.hi - x.zero))
        epsilon = n * n * self.eps / float(x.scale[0]) ** 2
        # Half of what 62 bits hold for v, so that epsilon has the other half; d takes the bits of the unit too.
        fraction = min(31, (61 - max(v, math.ceil(epsilon)).bit_length()) // 2)
        unit = min(BITS, 29 - math.ceil(math.log2(n) / 2), 60 - d.bit_length() - fraction)
        if fraction < 0 or unit < 8:
            raise node.unsupported(f"a row of {n} integers in {seen} has a variance of more than 62 bits")
        top = math.ceil(math.sqrt(n) * 2**unit) + 1
        value = node.step(
            "standardize",
            node.shaped(x.value, shape),
            centred=int(self.centred),
            zero=x.zero,
            fraction=fraction,
            epsilon=min(WIDE // 2, round(epsilon * 4**fraction)),
            unit=unit,
            lo=-top,
            hi=top,
        )
        return Real(value, np.array([2.0**-unit]), wide=True)


def gathered(node: Node, value: int, axes: Iterable[int]) -> int:
    """The integers of some axes, counted without the batch, as one axis behind the others."""
    shape, last = node.builder[value].shape, sorted(axes)
    order = (*(axis for axis in range(len(shape)) if axis not in last), *last)
    outer = tuple(shape[axis] for axis in order[: len(shape) - len(last)])
    turned = value if order == tuple(range(len(shape))) else node.step("transpose", value, axes=order)
    return node.shaped(turned, (*outer, math.prod(shape[axis] for axis in last)))
