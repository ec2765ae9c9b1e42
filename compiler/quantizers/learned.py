"""A uniform grid whose scale is trained, at first the one with the least mean square quantization error.

    y = fake_quantize(x, exp2(theta)),   theta a parameter

(Choi, El-Khamy, Lee, arXiv 1809.00095.) The scale is an exponent, so it stays positive and moves by factors. Weights of
1 bit are -1 and 1 times the scale, sign(0) = 1.
"""

from __future__ import annotations

import torch
from torch import fx

from ..edit import Edit
from ..grid import best_scale
from ..grids.scales import exponent
from ..quantizer import Edge, Quantizer


def _scale(edit: Edit, x: fx.Node, edge: Edge) -> fx.Node:
    return edit.call(torch.ops.aten.exp2.default, exponent(edit, edge))


QUANTIZER = Quantizer(_scale, start=best_scale)
