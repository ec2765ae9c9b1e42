"""add, sub, mul, div: of two values a sum or a product that the next grid rounds; with constants another scale, a
function of one integer, or a product and a sum for each channel.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from ....compiler.arrays import Floats
from ....compiler.operators import calls
from ..affine import affine
from ..curves import curve, varying
from ..exact import combined, held
from ..factors import along_several_axes, weighed
from ..lower import Lowering, Node
from ..products import product
from ..real import Curve, Lowered, Quotient, Real, Sum

_aten = torch.ops.aten
_SUMS = calls("add", "add_")
_DIFFERENCES = calls("sub", "sub_", "subtract", "subtract_")
_REVERSED = calls("rsub")
_PRODUCTS = calls("mul", "mul_", "multiply", "multiply_")
_QUOTIENTS = calls("div", "div_", "divide", "divide_", "true_divide", "true_divide_")


def _build(node: Node) -> Lowered:
    names = varying(node)
    if len(names) == 2:
        return _of_two(node)
    if isinstance(node.given[names[0]], Curve):
        return curve(node)
    x = node.real(names[0])
    factors = _coefficients(node, names[0])
    if factors is None:
        return curve(node)
    k, t = factors
    if x.zero == 0 and not t.any() and k.size == 1 and k.item() > 0:
        return replace(x, scale=x.scale * k.item())
    if along_several_axes(k) and not t.any():
        return weighed(node, names[0], k)
    alone = x.wide or x.scale.size > 1 or max(np.size(k), np.size(t)) > 1
    return affine(node, x, k, t) if alone else curve(node)


def _of_two(node: Node) -> Lowered:
    target = node.node.target
    a, b = node.on_grid("self"), node.on_grid("other")
    if len({len(node.builder[x.value].shape) for x in (a, b)} | {len(node.shape)}) > 1:
        raise node.unsupported("its operands have different numbers of axes")
    if target in _PRODUCTS:
        return product(node, a, b, "multiply", 1)
    if target in _QUOTIENTS:
        return _quotient(node, a, b)
    alpha = float(node.given["alpha"])
    if target in _REVERSED:
        return Sum(b, a, -alpha)
    return Sum(a, b, alpha if target in _SUMS else -alpha)


def _quotient(node: Node, a: Real, b: Real) -> Quotient:
    """a over b: with the sign of b put into a, where b can be negative."""
    if node.given.get("rounding_mode") is not None:
        raise node.unsupported("it rounds a quotient of two values")
    if node.builder[b.value].range.lo >= b.zero:
        return Quotient(a, b)
    sign = held(node, b.value, b.zero - 1, b.zero)
    sign = combined(node, sign, sign, 2, 0, 1 - 2 * b.zero)  # of zero it is 1
    magnitude = node.step("multiply", b.value, sign, zero_a=b.zero, zero_b=0)
    turned = product(node, a, Real(sign, np.ones(1)), "multiply", 1)
    if isinstance(turned, Sum):
        raise node.unsupported("its dividend has more than 31 bits", "use fewer bits")
    top = max(1, -node.builder[magnitude].range.lo, node.builder[magnitude].range.hi)
    return Quotient(turned, Real(held(node, magnitude, 0, top), b.scale, wide=True))


def _coefficients(node: Node, name: str) -> tuple[Floats, Floats] | None:
    """(k, t) with k x + t for the call; nothing where it is no such function."""
    target, first = node.node.target, "other" if node.node.target in _REVERSED else "self"
    constant, one = np.asarray(node.given["other" if name == "self" else "self"], np.float64), np.ones(())
    if node.given.get("rounding_mode") is not None or (target in _QUOTIENTS and name == "other"):
        return None
    if not np.isfinite(constant).all() or (target in _QUOTIENTS and not constant.all()):
        raise node.unsupported("a constant is not finite, or it divides by zero")
    if target in _PRODUCTS:
        return constant, 0 * one
    if target in _QUOTIENTS:
        return 1 / constant, 0 * one
    times = float(node.given["alpha"]) * (1 if target in _SUMS else -1)
    return (one, times * constant) if name == first else (times * one, constant)


LOWERING = Lowering(_SUMS | _DIFFERENCES | _REVERSED | _PRODUCTS | _QUOTIENTS, _build, along=0)
