"""Weights squashed by tanh onto 2^k odd levels in [-1, 1], hidden activations clipped to [0, 1].

    w_q = 2 q_k( tanh(w) / (2 max|tanh(w)|) + 1/2 ) - 1,   k = 1: mean|w| sign(w)
    a_q = q_k(clip(a, 0, 1)),   q_k(x) = round((2^k - 1) x) / (2^k - 1)

(Zhou et al. 2016, arXiv 1606.06160.) No weight is zero: the levels are the odd multiples of 1 / (2^k - 1). Rounding
passes the gradient, and the rest has its own. `weight_range = "max"` multiplies max|w|, taken as a constant, back.
"""

from __future__ import annotations

import torch
from torch import fx

from ..edit import Edit
from ..grids import squash, statistics  # noqa: F401  registers the operators
from ..quantizer import Edge, Quantizer, odd

_own = torch.ops.lowbit


def _values(edit: Edit, x: fx.Node, edge: Edge) -> fx.Node:
    if not edge.grid.odd or edge.grid.bits == 1:
        return x
    return edit.call(_own.squashed.default, x, edge.axis, edge.options.weight_range == "max")


def _scale(edit: Edit, x: fx.Node, edge: Edge) -> fx.Node:
    if edge.grid.odd and edge.grid.bits == 1:
        return edit.call(_own.mean_magnitude.default, x, edge.axis)
    if edge.grid.odd and edge.options.weight_range == "max":
        return edit.call(_own.peak_scale.default, x, edge.axis, edge.grid.hi)
    return edit.buffer(edge.name, torch.full_like(edge.start[:1], 1 / edge.grid.hi))


QUANTIZER = Quantizer(
    _scale,
    values=_values,
    weight_grid=odd,
    signed=False,
    most=8,
    keeps_size=lambda options: options.weight_range == "max",
)
