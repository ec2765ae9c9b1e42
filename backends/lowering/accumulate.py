"""Weights, bias and scale of a 32-bit accumulator: what convolutions and linears share."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ...compiler.arrays import Floats, Integers
from ..fixed.types import Range
from .affine import multiplied
from .lower import Node
from .real import Codes, Real
from .widening import ROOM, beyond, fits, fitting, shrunk, together

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


def layer(node: Node, x: Real, codes: Codes, axis: int, product: Callable[[Integers, int], int]) -> Real:
    """The accumulators of a layer.   product: (weight, the value of its bias) -> their step, channels along `axis`.

    codes: the weight, outputs first. Sums of more than 32 bits are split, and put together in a coarser unit.
    """
    if codes.axis != 0 and codes.scale.size > 1:
        raise node.unsupported("its scales do not lie along the output channels")
    weight, scale, real = _scaled(node, x, codes)
    units = real / scale
    integers = np.floor(units + 0.5)
    seen = node.builder[x.value].range | Range(x.zero, x.zero)
    if (np.abs(integers) < 2**31).all():
        bias = integers.astype(np.int64) + _of_zero(x, weight)
        if fits(weight, bias, seen):
            value = product(weight, node.builder.shared(bias))
            return Real(value, _alike(scale), axis=axis, wide=True, rest=units - integers)
    parts = fitting(weight, x.zero, seen)
    if not parts:
        raise node.unsupported("its sums need more than 37 bits", "use fewer bits")
    values = [product(part, node.builder.shared(_of_zero(x, part))) for part in parts]
    value, bits = together(node, values)
    wide = np.ceil(np.log2(np.maximum(np.abs(units) / 2.0**bits, 1)) - ROOM).clip(beyond(node, value)).astype(np.int64)
    value = shrunk(node, value, wide, axis) if wide.any() or len(values) == 1 else value
    grown = 2.0 ** (bits + wide)
    units = units / grown
    integers = np.floor(units + 0.5)
    value = multiplied(node, value, axis, np.ones(len(wide), np.int64), integers.astype(np.int64))
    note = f"wider than 32 bits: {len(parts)} sums, put together in units of up to 2^{bits + int(wide.max())}"
    return Real(value, _alike(scale * grown), axis=axis, wide=True, rest=units - integers, note=note)


def _of_zero(x: Real, weight: Integers) -> Integers:
    """What the zero point of x puts into the sum of each output."""
    found: Integers = -x.zero * weight.reshape(len(weight), -1).sum(axis=1)
    return found


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
