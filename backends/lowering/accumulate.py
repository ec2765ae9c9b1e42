"""Weights, bias and scale of a 32-bit accumulator: what convolutions and linears share."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ...compiler.arrays import Floats, Integers
from ..fixed.types import INT32
from .affine import multiplied
from .lower import Node
from .real import Codes, Real

BIAS_BITS = 20
"""Width given to the bias of a channel without weights, where the scale of its neighbours does not suit it."""

ROOM = 2.0**30
"""The magnitude of biases that a sum is added to at once."""


def codes_of(node: Node) -> Codes:
    """The weight of a call."""
    codes = node.given["weight"]
    if not isinstance(codes, Codes):
        raise node.unsupported("its weight is not on a grid")
    if codes.zero:
        raise node.unsupported("its weight has a zero point")
    return codes


def layer(node: Node, x: Real, codes: Codes, axis: int, product: Callable[[Integers, int], int]) -> Real:
    """The accumulators of a layer.   product: (weight, the value of its bias) -> their step, channels along `axis`.

    codes: the weight, outputs first. Biases of more than 32 bits are added behind a rounding to a coarser unit.
    """
    if codes.axis != 0 and codes.scale.size > 1:
        raise node.unsupported("its scales do not lie along the output channels")
    weight, scale, real = _scaled(node, x, codes)
    offset = -x.zero * weight.reshape(len(weight), -1).sum(axis=1)
    units = real / scale
    wide = np.ceil(np.log2(np.maximum(np.abs(units), 1) / ROOM)).clip(0).astype(np.int64)
    if not wide.any():
        integers = np.floor(units + 0.5)
        bias = node.builder.shared(integers.astype(np.int64) + offset)
        return Real(product(weight, bias), _alike(scale), axis=axis, wide=True, rest=units - integers)
    value = product(weight, node.builder.shared(offset))
    shift = node.builder.shared((23 + wide).clip(max=62))
    multiplier = node.builder.shared(np.full(len(wide), 2**23))
    value = node.step("rescale", value, multiplier, shift, axis=axis, zero=0, lo=INT32.lo // 2, hi=INT32.hi // 2)
    units, integers = units / 2.0**wide, np.floor(units / 2.0**wide + 0.5)
    value = multiplied(node, value, axis, np.ones(len(wide), np.int64), integers.astype(np.int64))
    note = f"its biases need {31 + int(wide.max())} bits: sums are rounded to 30 bits of them before they are added"
    return Real(value, _alike(scale * 2.0**wide), axis=axis, wide=True, rest=units - integers, note=note)


def _scaled(node: Node, x: Real, codes: Codes) -> tuple[Integers, Floats, Floats]:
    """(weight, scale, bias) with scale * weight . q + bias the layer's output, for the integers q of x less its zero.

    A channel whose weights are all zero may take a scale that suits its bias.
    """
    weight, outputs = codes.integers, len(codes.integers)
    scale = np.broadcast_to(float(x.scale[0]) * codes.scale, outputs)
    weight = weight * (scale > 0).reshape(-1, *[1] * (weight.ndim - 1))
    bias = node.floats("bias") if "bias" in node.given else None
    real = np.zeros(outputs) if bias is None else np.asarray(bias, dtype=np.float64)
    if not np.isfinite(real).all():
        raise node.unsupported("its bias is not a number", "look for an overflow in the model")
    free = ~weight.reshape(outputs, -1).any(axis=1) & (np.abs(real) >= scale * 2**BIAS_BITS)
    return weight, np.where(free, _scale_for(real), scale), real


def _alike(scale: Floats) -> Floats:
    """One scale, where all are the same."""
    return scale if np.unique(scale).size > 1 else scale[:1]


def _scale_for(bias: Floats) -> Floats:
    """A power of two, since the scales beside it may all be."""
    magnitude = np.abs(bias)
    return np.exp2(np.floor(np.log2(np.where(magnitude > 0, magnitude, 1.0)))) * 2.0**-BIAS_BITS
