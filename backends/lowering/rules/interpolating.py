"""Linear, bilinear and trilinear upsampling: integer coefficients, by whose sum the scale is divided.

    y[j] = (1 - f) x[i] + f x[i + 1],   i + f = (j + 1/2) n / m - 1/2, held inside of x, or j (n - 1) / (m - 1)

with align_corners; n elements become m. The fractions of one axis are brought to one denominator. Images that become r
times as large are convolved, each channel by r r kernels of 3 x 3 taps that a pixel shuffle then takes apart; anything
else is one matrix product along each axis. No coefficient is rounded; what does not fit 32 bits is refused.
"""

from __future__ import annotations

from fractions import Fraction
from math import lcm

import numpy as np

from ....compiler.arrays import Integers
from ....compiler.operators import calls
from ..convolving import Geometry, convolved
from ..lower import Lowering, Node
from ..moving import taken
from ..real import Lowered, Real


def _build(node: Node) -> Lowered:
    x = node.real("input" if "input" in node.given else "self")
    if x.scale.size > 1:
        raise node.unsupported("its input has one scale a channel that no grid has rounded")
    old, new = node.builder[x.value].shape[1:], node.shape[1:]
    corners, factors = node.given["align_corners"], _factors(node, len(old))
    axes = [_matrix(n, m, corners, factor) for n, m, factor in zip(old, new, factors, strict=True)]
    if any(abs(matrix).max(initial=0) >= 2**31 for matrix in axes):
        raise node.unsupported("its coefficients are no fractions of small numbers", "give the size as a whole number")
    value, total = x.value, 1
    ratios = {(m % n, m // n) for n, m in zip(old, new, strict=True)}
    if len(old) == 2 and len(ratios) == 1 and not corners and (ratio := ratios.pop())[0] == 0 and min(old) > 2:
        value, total = _by_phases(node, value, axes, ratio[1], x.zero)
    else:
        for axis, matrix in enumerate(axes, 1):
            value, zero = _along(node, value, axis, matrix), int(matrix[0].sum())
            total *= zero
    return Real(value, x.scale / total, x.zero * total, wide=True)


def _factors(node: Node, axes: int) -> list[float | None]:
    """The factors that the call gives, by which it then divides, not by the ratio of the sizes."""
    given = node.given.get("scale_factors")
    return list(given) if given else [node.given.get(name) for name in ("scales_d", "scales_h", "scales_w")][-axes:]


def _matrix(n: int, m: int, corners: bool, factor: float | None) -> Integers:
    """(m, n): the coefficients of every output, whole numbers without a common divisor, with one sum for all."""
    rows = np.zeros((m, n), dtype=object)
    for j in range(m):
        if corners:
            place = Fraction(j * (n - 1), m - 1) if m > 1 else Fraction(0)
        else:
            step = Fraction(n, m) if factor is None else 1 / Fraction(factor)
            place = max((j + Fraction(1, 2)) * step - Fraction(1, 2), Fraction(0))
        i = min(int(place), n - 1)
        rows[j, i] += 1 - (place - i)
        rows[j, min(i + 1, n - 1)] += place - i
    denominator = lcm(*(Fraction(c).denominator for c in rows.reshape(-1)))
    return (rows * denominator).astype(np.int64) if denominator < 2**31 else np.full((m, n), 2**31)


def _along(node: Node, value: int, axis: int, matrix: Integers) -> int:
    """The product with a matrix along an axis."""
    order = list(range(len(node.builder[value].shape)))
    order[axis], order[-1] = order[-1], order[axis]
    last = order[axis] == axis
    value = value if last else node.step("transpose", value, axes=tuple(order))
    bias = node.builder.shared(np.zeros(len(matrix), np.int64))
    value = node.step("linear", value, node.builder.shared(matrix), bias)
    return value if last else node.step("transpose", value, axes=tuple(order))


def _by_phases(node: Node, value: int, axes: list[Integers], r: int, zero: int) -> tuple[int, int]:
    """Every output of one place among r x r by one kernel, over an image with its edge repeated.

    The kernel is read off in the middle, where every row of the matrix has its three neighbours.
    """
    channels, height, width = node.builder[value].shape
    down, across = (matrix[r : 2 * r, :3] for matrix in axes)  # (r, 3): of the outputs around the second element
    kernels = np.einsum("ak,bl->abkl", down, across).reshape(r * r, 1, 3, 3)
    for axis, size in ((1, height), (2, width)):
        value = taken(node, value, axis, [0, *range(size), size - 1])
    weight, bias = np.tile(kernels, (channels, 1, 1, 1)), node.builder.shared(np.zeros(channels * r * r, np.int64))
    geometry = Geometry((1, 1), ((0, 0), (0, 0)), (1, 1), channels)
    value = convolved(node, value, bias, weight, geometry, zero)
    value = node.step("reshape", value, shape=(channels, r, r, height, width))
    value = node.step("transpose", value, axes=(0, 3, 1, 4, 2))
    return node.step("reshape", value, shape=(channels, height * r, width * r)), int(kernels[0].sum())


LOWERING = Lowering(calls("upsample_linear1d", "upsample_bilinear2d", "upsample_trilinear3d"), _build)
