"""Weights of 1 bit: the sign times the mean magnitude of the layer, or of each output channel.

    y = mean|w| sign(w),   sign(0) = 1

(Rastegari et al. 2016, arXiv 1603.05279; Zhou et al. 2016, arXiv 1606.06160, for k = 1.) It is the scale with the least
mean square error. The gradient passes through the sign, and the scale takes none.
"""

from __future__ import annotations

import torch
from torch import fx

from ..edit import Edit
from ..grids import statistics  # noqa: F401  registers the operator
from ..quantizer import Edge, Quantizer, odd


def _scale(edit: Edit, x: fx.Node, edge: Edge) -> fx.Node:
    return edit.call(torch.ops.lowbit.mean_magnitude.default, x, edge.axis)


QUANTIZER = Quantizer(_scale, weight_grid=odd, activations=False, least=1, most=1)
