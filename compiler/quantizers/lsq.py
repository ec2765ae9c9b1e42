"""Learned step size: a scale that is trained as it is, with a gradient made as large as that of the weights.

    y = fake_quantize(x, s),   dL/ds := g sum dL/dy dy/ds,   g = 1 / sqrt(N Q_P),   at first s = 2 mean|w| / sqrt(Q_P)

(Esser et al. 2019, arXiv 1902.08153.) Q_P is the largest integer of the grid, N the number of weights of a scale, or of
the values of an activation in one example. The grids of weights reach one further below zero. The first step sizes of
activations are set by calibration.
"""

from __future__ import annotations

import math

from torch import Tensor, fx

from ..edit import Edit
from ..graph import shape
from ..grid import Grid
from ..grids.scales import linear
from ..grids.statistics import mean_magnitude
from ..quantizer import Edge, Quantizer, odd


def _grid(bits: int) -> Grid:
    return odd(1) if bits == 1 else Grid(bits, signed=True)


def _start(x: Tensor, grid: Grid, axis: int | None) -> Tensor:
    mean: Tensor = mean_magnitude(x.detach(), axis)
    return mean if grid.odd else 2 * mean / math.sqrt(grid.hi)


def _scale(edit: Edit, x: fx.Node, edge: Edge) -> fx.Node:
    sizes = [size for size in shape(x) if isinstance(size, int)]  # all but the batch
    count = math.prod(sizes) // edge.start.numel()
    return linear(edit, edge, gradient=1 / math.sqrt(max(1, count * edge.grid.hi)))


QUANTIZER = Quantizer(_scale, weight_grid=_grid, start=_start)
