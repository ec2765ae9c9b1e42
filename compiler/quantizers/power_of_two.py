"""A uniform grid whose scale is trained and always a power of two, so that a rescale is a shift.

    y = fake_quantize(x, exp2(floor(theta + 1/2))),   theta a parameter

The gradient in theta passes the rounding. At first theta is the exponent of the scale with the least mean square error.
"""

from __future__ import annotations

import torch
from torch import fx

from ..edit import Edit
from ..grid import best_scale
from ..grids.scales import exponent
from ..quantizer import Edge, Quantizer


def _scale(edit: Edit, x: fx.Node, edge: Edge) -> fx.Node:
    nearest = edit.call(torch.ops.lowbit.whole.default, exponent(edit, edge))
    return edit.call(torch.ops.aten.exp2.default, nearest)


QUANTIZER = Quantizer(_scale, start=best_scale)
