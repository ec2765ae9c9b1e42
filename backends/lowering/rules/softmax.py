"""softmax: exp(x - max) from a table over its sum, which the grid behind it rounds once.

The table has as many bits as the sum of a row leaves of 31.
"""

from __future__ import annotations

import numpy as np

from ..exact import difference, held, largest
from ..exponentials import BITS, SOFTMAX, reach
from ..lower import Lowering, Node
from ..real import Lowered, Quotient, Real


def _build(node: Node) -> Lowered:
    x = node.on_grid("self")
    shape = node.builder[x.value].shape
    axis = node.given["dim"] % (len(shape) + 1) - 1
    if axis < 0:
        raise node.unsupported("it goes over the batch")
    below = difference(node, x.value, largest(node, x.value, axis))
    peak, step = min(2**BITS, (2**31 - 1) // shape[axis]), float(x.scale[0])
    least = max(node.builder[below].range.lo, -reach(step, peak))  # less is zero, rounded
    values = np.floor(np.exp(np.arange(least, 1) * step) * peak + 0.5).astype(np.int64)
    table = node.builder.shared(values.reshape(1, -1))
    powers = node.step("table", held(node, below, least, 0), table, first=least, axis=0)
    total = node.step("sum", powers, axes=(axis,), keepdim=1)
    one = np.ones(1)
    return Quotient(Real(powers, one, wide=True), Real(held(node, total, peak, 2**31 - 1), one, wide=True))


LOWERING = Lowering(SOFTMAX, _build, along=0)
