"""Comparisons: with constants a table of zeros and ones, of two values the sign of their difference, exactly."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

from ....compiler.operators import calls
from ..curves import curve, varying
from ..exact import combined, held
from ..lower import Lowering, Node
from ..real import Lowered, Real

_NAMES = ("gt", "lt", "ge", "le", "eq", "ne", "greater", "less", "greater_equal", "less_equal", "not_equal")
BITS = 22
"""Of the factors that bring two values to one scale."""


def _build(node: Node) -> Lowered:
    if len(varying(node)) == 2:
        return _of_two(node)
    found = curve(node)
    table = node.builder.shared(found.values.astype(np.int64))
    return Real(node.step("table", found.x.value, table, first=found.first, axis=found.axis), np.ones(1))


def _of_two(node: Node) -> Real:
    """What the call gives for the signs -1, 0 and 1."""
    a, b = node.on_grid("self"), node.on_grid("other")
    if len(node.builder[a.value].shape) != len(node.builder[b.value].shape):
        raise node.unsupported("its operands have different numbers of axes")
    scales = float(a.scale[0]), float(b.scale[0])
    exponent = BITS - math.frexp(max(scales))[1]
    times = (1, 1) if scales[0] == scales[1] else [max(1, round(math.ldexp(scale, exponent))) for scale in scales]
    apart = combined(node, a.value, b.value, times[0], -times[1], b.zero * times[1] - a.zero * times[0])
    signs = torch.tensor([-1.0, 0.0, 1.0])
    target: Any = node.node.target
    given = target(signs, torch.zeros(3)).numpy().astype(np.int64)
    table = node.builder.shared(given.reshape(1, -1))
    return Real(node.step("table", held(node, apart, -1, 1), table, first=-1, axis=0), np.ones(1))


LOWERING = Lowering(calls(*_NAMES), _build)
