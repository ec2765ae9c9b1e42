"""Ternary weights: zero below a threshold, one magnitude above it, for the layer or for each output channel.

    t = 0.7 mean|w|,   a = mean{|w| : |w| > t},   y = a sign(w) [|w| > t]

(Li et al. 2016, arXiv 1605.04711.) Both follow the weights and take no gradient; that of the weights passes as it is.
What is rounded are the weights above the threshold, read as at least 3/4 of the scale: a penalty on the distance to the
grid pulls them to the scale, and lets the others be.
"""

from __future__ import annotations

import torch
from torch import fx

from ..edit import Edit
from ..graph import arguments
from ..grids import sparse  # noqa: F401  registers the operators
from ..quantizer import Edge, Quantizer

_own = torch.ops.lowbit


def _values(edit: Edit, x: fx.Node, edge: Edge) -> fx.Node:
    return edit.call(_own.ternary_values.default, x, edge.axis)


def _scale(edit: Edit, x: fx.Node, edge: Edge) -> fx.Node:
    return edit.call(_own.ternary_scale.default, arguments(x)["weight"], edge.axis)


QUANTIZER = Quantizer(_scale, values=_values, activations=False, least=2, most=2)
