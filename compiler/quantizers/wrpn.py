"""Weights clipped to [-1, 1] onto 2^k - 1 levels, hidden activations clipped to [0, 1].

    w_q = round((2^(k-1) - 1) clip(w, -1, 1)) / (2^(k-1) - 1)
    a_q = round((2^k - 1) clip(a, 0, 1)) / (2^k - 1)

(Mishra et al. 2017, arXiv 1709.01134: k - 1 bits and a sign.) These are the levels that its authors document; code in
use has 2^k + 1 of them. The gradient passes inside the clip alone. `weight_range = "max"` clips at max|w| instead of 1.
"""

from __future__ import annotations

import torch
from torch import fx

from ..edit import Edit
from ..grids import statistics  # noqa: F401  registers the operator
from ..quantizer import Edge, Quantizer


def _scale(edit: Edit, x: fx.Node, edge: Edge) -> fx.Node:
    if edge.grid.lo < 0 and edge.options.weight_range == "max":
        return edit.call(torch.ops.lowbit.peak_scale.default, x, edge.axis, edge.grid.hi)
    return edit.buffer(edge.name, torch.full_like(edge.start[:1], 1 / edge.grid.hi))


QUANTIZER = Quantizer(
    _scale, signed=False, straight=False, least=2, keeps_size=lambda options: options.weight_range == "max"
)
