"""How much of a grid lies below zero: half, or less behind functions that fall less far below zero than they rise."""

from __future__ import annotations

from torch import fx

from ..graph import Graph, arguments
from ..operators import calls

HALF = 0.5
"""Of an even grid: nothing is known of the values."""
RISE = 4.0
"""How far a function that is bounded below is taken to rise. Calibration and training find the scale, not this share:
what rises less far has its lowest values clipped, or a scale as coarse as on an even grid; what rises further loses
few of its integers."""
_LEAST = {"silu": 0.2785, "gelu": 0.17, "hardswish": 0.375, "mish": 0.3088}
LEAST = {target: least for name, least in _LEAST.items() for target in calls(name, f"{name}_")}
"""Functions that come down to a value below zero, and how far."""
LEAKY, PER_CHANNEL = calls("leaky_relu", "leaky_relu_"), calls("prelu", "_prelu_kernel")
EXPONENTIAL = calls("elu", "elu_", "celu", "celu_")


def share_below(graph: Graph, node: fx.Node) -> float:
    """The part of the range of a call's values that lies below zero, from 0 to a half.

    Of a leaky rectifier of slope a, whose input reaches as far to either side: a / (1 + a); of a function that comes
    down to -m: m / (m + `RISE`).
    """
    if node.target in LEAST:
        return _bounded(LEAST[node.target])
    if node.target in LEAKY:
        return _leaky(arguments(node)["negative_slope"])
    if node.target in EXPONENTIAL:
        return _bounded(arguments(node)["alpha"])
    if node.target in PER_CHANNEL:
        slopes = arguments(node)["weight"]
        return _leaky(float(graph.tensor(slopes).max())) if slopes in graph.constants() else HALF
    return HALF


def _bounded(least: float) -> float:
    return min(HALF, least / (least + RISE)) if least > 0 else HALF


def _leaky(slope: float) -> float:
    return slope / (1 + slope) if 0 < slope < 1 else HALF
