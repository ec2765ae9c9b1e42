"""Weights, bias and scale of a 32-bit accumulator: what convolutions and linears share."""

from __future__ import annotations

import numpy as np

from ...compiler.arrays import Floats, Integers
from .lower import Node
from .real import Codes, Real

BIAS_BITS = 20
"""Width given to the bias of a channel without weights, where the scale of its neighbours does not suit it."""


def codes_of(node: Node) -> Codes:
    """The weight of a call."""
    codes = node.given["weight"]
    if not isinstance(codes, Codes):
        raise node.unsupported("its weight is not on a grid")
    if codes.zero:
        raise node.unsupported("its weight has a zero point")
    return codes


def accumulator(node: Node, x: Real, codes: Codes) -> tuple[Integers, Integers, Floats, Floats]:
    """(weight, bias, scale, rest) with scale * (weight . q + bias + rest) the layer's output, for the integers q of x.

    codes: the weight, outputs first.   rest: what rounding leaves out of the bias, at most half a unit of each channel.
    The bias takes in the zero point of x. A channel whose weights are all zero may take a scale that suits its bias.
    """
    if codes.axis != 0 and codes.scale.size > 1:
        raise node.unsupported("its scales do not lie along the output channels")
    weight, outputs = codes.integers, len(codes.integers)
    scale = np.broadcast_to(float(x.scale[0]) * codes.scale, outputs)
    weight = weight * (scale > 0).reshape(-1, *[1] * (weight.ndim - 1))
    bias = node.floats("bias")
    real = np.zeros(outputs) if bias is None else np.asarray(bias, dtype=np.float64)
    flat = weight.reshape(outputs, -1)
    free = ~flat.any(axis=1) & (np.abs(real) >= scale * 2**BIAS_BITS)
    scale = np.where(free, _scale_for(real), scale)
    units = real / scale
    integers = np.floor(units + 0.5)
    if (np.abs(integers) >= 2**31).any():
        raise node.unsupported("a bias is too large beside its weights for a 32-bit accumulator")
    scales = scale if np.unique(scale).size > 1 else scale[:1]
    return weight, integers.astype(np.int64) - x.zero * flat.sum(axis=1), scales, units - integers


def _scale_for(bias: Floats) -> Floats:
    """A power of two, since the scales beside it may all be."""
    magnitude = np.abs(bias)
    return np.exp2(np.floor(np.log2(np.where(magnitude > 0, magnitude, 1.0)))) * 2.0**-BIAS_BITS
