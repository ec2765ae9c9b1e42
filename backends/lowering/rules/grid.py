"""fake_quantize: the one rounding. Inputs become ports, accumulators are rescaled, sums added, functions tabulated.

The codes of a function and of limits are rounded in the type of the model, as the fake quantizer rounds them.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace

import numpy as np
import torch

from ....compiler.arrays import Floats, Integers
from ...fixed.ops.requantize import FRACTION, FRACTION_BITS
from ...fixed.types import Range
from ..affine import channelwise
from ..curves import precision
from ..lower import Lowering, Node
from ..real import Curve, Input, Limited, Lowered, Moved, Quotient, Real, Sum, significand

TIPPED = 1e-6
"""Share of the codes that the rounding of a bias may tip over. Every one travels on, in a deep network to nearly every
value behind it: with ten times as many, 41 of 300 images had such a code first in ResNet-8, and 12 have one now, whose
file has 0.05 % more."""


@dataclass(frozen=True)
class Saturation:
    """The zero point of a grid, and the integers between which a rounding saturates."""

    zero: int
    lo: int
    hi: int


def _build(node: Node) -> Lowered:
    x, scale = node.given["x"], np.asarray(node.given["scale"], dtype=np.float64)
    zero, lo, hi = (node.given[name] for name in ("zero", "lo", "hi"))
    if not isinstance(x, Limited):
        return _rounded(node, x, scale, Saturation(zero, lo, hi))
    # Rounding keeps order, so the integers are held between the rounded limits.
    bottom = lo if x.least is None else int(_codes(node, x.least, scale, Saturation(zero, lo, hi)).max())
    tops = np.asarray(hi) if x.most is None else _codes(node, x.most, scale, Saturation(zero, bottom, hi))
    rounded = _rounded(node, x.value, scale, Saturation(zero, bottom, int(tops.max())))
    if tops.min() == tops.max():
        return rounded
    return replace(rounded, value=_limited(node, rounded.value, tops.reshape(-1)))


def _codes(node: Node, real: Floats | float, scale: Floats, to: Saturation) -> Integers:
    kind = precision(node)
    steps = np.floor(np.asarray(real, kind) / scale.astype(kind) + kind(0.5))
    codes: Integers = (steps.astype(np.float64) + to.zero).clip(to.lo, to.hi).astype(np.int64)
    return codes


def _rounded(node: Node, x: Lowered, scale: Floats, to: Saturation) -> Real:
    match x:
        case Input(shape):
            return Real(node.builder.input(shape, Range(to.lo, to.hi)), scale, to.zero)
        case Sum():
            return Real(_add(node, x, float(scale[0]), to), scale, to.zero)
        case Quotient():
            return Real(_divide(node, x, float(scale[0]), to), scale, to.zero)
        case Curve():
            table = node.builder.shared(_codes(node, x.values, scale, to))
            return Real(node.step("table", x.x.value, table, first=x.first, axis=x.axis), scale, to.zero)
        case Real() if x.zero and x.scale.size == 1:
            return Real(_add(node, Sum(x, x, 0.0), float(scale[0]), to), scale, to.zero)
        case Real():
            multiplier, shift = significand(x.scale / scale)
            centred = _centre(node, x)
            vectors = [node.builder.shared(vector) for vector in (multiplier, shift, *_fractions(x, scale))]
            op = "requantize" if len(vectors) > 2 else "rescale"
            return Real(node.step(op, centred, *vectors, axis=x.axis, **asdict(to)), scale, to.zero)
        case Moved(parts, place):
            return Real(place(tuple(_rounded(node, part, scale, to).value for part in parts)), scale, to.zero)
    raise node.unsupported("it rounds a constant that is not a weight")


def _fractions(x: Real, scale: Floats) -> list[Integers]:
    """What the bias of each channel lacks, in 2^-16 of a unit of x, as far as it moves a code in a million; or nothing.

    Bits that matter less are zeros, which cost nothing in a file: with ratio codes a unit and b bits kept, an error of
    ratio 2^-b / 4 on average tips as large a share of the codes. Where every ratio is a power of two, ties lie on
    multiples of the last bit kept, and rounding down carries no sum over one: not a code differs.
    """
    if x.rest is None:
        return []
    ratios = x.scale / scale
    exact, ratio = bool((np.frexp(ratios)[0] == 0.5).all()), float(ratios.max())
    bits = max(1, math.frexp(ratio)[1]) if exact else math.ceil(math.log2(ratio / (4 * TIPPED)))
    step = 2 ** (FRACTION_BITS - min(max(0, bits), FRACTION_BITS))
    kept = np.floor(x.rest * (2**FRACTION_BITS / step) + (0 if exact else 0.5)) * step
    found = kept.clip(FRACTION.lo, FRACTION.hi).astype(np.int64)
    return [found] if bits > 0 and found.any() else []


def _limited(node: Node, value: int, tops: Integers) -> int:
    """min(q, top) for each channel, as min(q - top, 0) + top."""
    sizes, channels = node.builder[value].shape, len(tops)
    if channels != sizes[0]:
        raise node.unsupported("it has limits along another axis than the channels'")
    planes = (channels, math.prod(sizes) // channels, 1)
    value = node.shaped(value, sizes if len(sizes) == 3 else planes)
    ones = np.ones(channels, np.int64)
    below = channelwise(node, value, ones, -tops)
    value = channelwise(node, node.step("clamp", below, lo=min(0, node.builder[below].range.lo), hi=0), ones, tops)
    return node.shaped(value, sizes)


def _centre(node: Node, x: Real) -> int:
    """The integers of x less its zero point."""
    if x.zero == 0:
        return x.value
    raise node.unsupported("it rounds a value with a zero point a second time")


def _add(node: Node, x: Sum, scale: float, to: Saturation) -> int:
    """Both terms on one shift, as fine as the larger factor's 24 bits allow; see the op `add`."""
    a, b = x.a, x.b
    factors = [float(term.scale[0]) * times / scale for term, times in ((a, 1.0), (b, x.times))]
    largest = max(map(abs, factors))
    shift = min(62, 24 - math.frexp(largest)[1])
    if shift < 1:
        raise node.unsupported(f"a term's scale is {largest:g} times the sum's")
    m_a, m_b = (math.floor(math.ldexp(factor, shift) + 0.5) for factor in factors)
    offset = -(a.zero * m_a + b.zero * m_b)
    return node.step(
        "add", a.value, b.value, multiplier_a=m_a, multiplier_b=m_b, shift=shift, offset=offset, **asdict(to)
    )


def _divide(node: Node, x: Quotient, scale: float, to: Saturation) -> int:
    """Their ratio, with as many bits as the divisor leaves of 62; see the op `divide`."""
    multiplier, shift = (int(part[0]) for part in significand(x.a.scale / (x.b.scale * scale)))
    excess = max(0, node.builder[x.b.value].range.hi.bit_length() + shift - 61)
    return node.step(
        "divide",
        x.a.value,
        x.b.value,
        zero_a=x.a.zero,
        zero_b=x.b.zero,
        multiplier=max(1, multiplier >> excess),
        shift=shift - excess,
        **asdict(to),
    )


LOWERING = Lowering(frozenset({torch.ops.lowbit.fake_quantize.default}), _build, along=0)
