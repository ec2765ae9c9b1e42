"""fake_quantize: the one rounding. An input becomes a port, an accumulator is rescaled, a sum is added and rescaled."""

from __future__ import annotations

import math

import numpy as np
import torch

from ...fixed.types import Range
from ..lower import Lowering, Node
from ..real import Input, Lowered, Real, Sum, significand


def _build(node: Node) -> Lowered:
    x, scale = node.given["x"], np.asarray(node.given["scale"], dtype=np.float64)
    zero, lo, hi = (node.given[name] for name in ("zero", "lo", "hi"))
    match x:
        case Input(shape):
            return Real(node.builder.input(shape, Range(lo, hi)), scale, zero)
        case Sum(a, b):
            return Real(_add(node, a, b, float(scale[0])), scale, zero)
        case Real():
            multiplier, shift = significand(x.scale / scale)
            centred = _centre(node, x)
            factors = node.builder.shared(multiplier), node.builder.shared(shift)
            return Real(node.step("rescale", centred, *factors, zero=zero, lo=lo, hi=hi, axis=x.axis), scale, zero)
    raise node.unsupported("it rounds a constant that is not a weight")


def _centre(node: Node, x: Real) -> int:
    """The integers of x less its zero point."""
    if x.zero == 0:
        return x.value
    raise node.unsupported("it rounds a value with a zero point a second time")


def _add(node: Node, a: Real, b: Real, scale: float) -> int:
    """Both terms on one shift, as fine as the larger factor's 24 bits allow; see the op `add`."""
    factors = [float(term.scale[0]) / scale for term in (a, b)]
    shift = min(62, 24 - math.frexp(max(factors))[1])
    if shift < 1:
        raise node.unsupported(f"a term's scale is {max(factors):g} times the sum's")
    m_a, m_b = (math.floor(math.ldexp(factor, shift) + 0.5) for factor in factors)
    offset = -(a.zero * m_a + b.zero * m_b)
    attributes = {name: node.given[name] for name in ("zero", "lo", "hi")}
    return node.step(
        "add", a.value, b.value, multiplier_a=m_a, multiplier_b=m_b, shift=shift, offset=offset, **attributes
    )


LOWERING = Lowering(frozenset({torch.ops.lowbit.fake_quantize.default}), _build)
