"""Hidden activations clipped at a level that is trained.

    y = round(clip(x, 0, a) (2^k - 1) / a) a / (2^k - 1),   dy/da = [x > a]

(Choi et al. 2018, arXiv 1805.06085.) Rounding passes the gradient, and what is clipped alone moves the level a.
Calibration sets its first value; the papers begin at 8 to 10 for every layer, with a penalty on its square.
"""

from __future__ import annotations

import torch
from torch import fx

from ..edit import Edit
from ..grids.scales import linear
from ..quantizer import Edge, Quantizer


def _scale(edit: Edit, x: fx.Node, edge: Edge) -> fx.Node:
    return edit.call(torch.ops.aten.div.Tensor, linear(edit, edge, edge.grid.hi), edge.grid.hi)


QUANTIZER = Quantizer(_scale, weights=False, signed=False, clipped=True)
