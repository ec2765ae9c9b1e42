"""Weights sparsified at every step by a threshold that follows them, and then quantized up to the largest.

    t = mean|w| + sigma std|w|,   v = w [|w| >= t],   y = s round(v / s),   s = max|w| / (2^(k-1) - 1)

(SQuantizer: Park, Xu, Brick, arXiv 1812.08301.) In code that follows the paper the levels begin at t, 2^k + 1 of them
with the zero; here they are multiples of s, 2^k - 1 of them, so that the integers are exact and fit k bits. The
gradient reaches the weights that are kept; others return as the threshold falls.
"""

from __future__ import annotations

import torch
from torch import fx

from ..edit import Edit
from ..grids import sparse, statistics  # noqa: F401  registers the operators
from ..quantizer import Edge, Quantizer

_own = torch.ops.lowbit


def _values(edit: Edit, x: fx.Node, edge: Edge) -> fx.Node:
    return edit.call(_own.above_spread.default, x, edge.axis, edge.options.sigma)


def _scale(edit: Edit, x: fx.Node, edge: Edge) -> fx.Node:
    return edit.call(_own.peak_scale.default, x, edge.axis, edge.grid.hi)


QUANTIZER = Quantizer(_scale, values=_values, activations=False, least=2)
