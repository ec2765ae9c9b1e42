"""var, std and Euclidean norms over axes, each row of n integers c as exact as its root and its sum of squares.

std  = max|n c - sum c| / max|y|, y standardized,   norm = max|c| / max|y|, y over the root of its mean square
var  = (sum d^2 - (sum d)^2 / n) / (n - correction), d = c - round(mean c)
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import torch

from ....compiler.graph import shape
from ....compiler.operators import calls
from ..exact import combined, held, largest, reflected
from ..lower import Lowering, Node
from ..products import product
from ..real import Lowered, Quotient, Real, Sum, significand
from ..rows import Rows, gathered

_aten = torch.ops.aten
_VARIANCES = frozenset({_aten.var.default, _aten.var.dim, _aten.var.correction})
_DEVIATIONS = frozenset({_aten.std.default, _aten.std.dim, _aten.std.correction})
_NORMS = frozenset({_aten.norm.Scalar, _aten.norm.ScalarOpt_dim}) | calls("linalg_vector_norm")


def _build(node: Node) -> Lowered:
    x = node.on_grid("self")
    value = gathered(node, x.value, _axes(node))
    n = node.builder[value].shape[-1]
    x = Real(value, x.scale, x.zero)
    if node.node.target in _NORMS:
        order = node.given.get("ord", node.given.get("p"))
        if order not in (None, 2):
            raise node.unsupported(f"it is the norm of order {order}, not the Euclidean one", "use the order 2")
        return _over(node, x, Rows(centred=False, eps=0.0), x, math.sqrt(n))
    free = n - _correction(node)
    if free <= 0:
        raise node.unsupported(f"it is the spread of {n} numbers over {free}", "use correction = 0")
    if node.node.target in _VARIANCES:
        return _variance(node, x, n, free)
    total = node.step("sum", x.value, axes=(len(node.builder[value].shape) - 1,), keepdim=1)
    apart = Real(combined(node, x.value, total, n, -1), x.scale / n)
    return _over(node, x, Rows(centred=True, eps=0.0), apart, math.sqrt(n / free))


def _axes(node: Node) -> list[int]:
    """The axes that it goes over, counted without the batch."""
    rank, dims = len(shape(node.node.all_input_nodes[0])), node.given.get("dim")
    listed = [dims] if isinstance(dims, int) else list(dims or range(rank))
    axes = sorted(dim % rank - 1 for dim in listed)
    if axes[0] < 0:
        raise node.unsupported("it goes over the batch", "name the other axes")
    return axes


def _correction(node: Node) -> float:
    """What is taken from the count of the numbers."""
    given = node.given
    if "correction" in given:
        return 1 if given["correction"] is None else float(given["correction"])
    return int(given["unbiased"])


def _over(node: Node, x: Real, rows: Rows, apart: Real, times: float) -> Quotient:
    """The largest magnitude over that of the standardized row, where the quotient is the most exact."""
    y = rows.of(node, x, node.builder[x.value].shape)
    return Quotient(_peak(node, replace(apart, scale=apart.scale * times)), _peak(node, y))


def _peak(node: Node, x: Real) -> Real:
    """The largest magnitude of each row, in 30 bits: a quotient can be large."""
    axis = len(node.builder[x.value].shape) - 1
    both = node.step("concat", x.value, reflected(node, x.value, 2 * x.zero), axis=axis)
    found = largest(node, both, axis)
    top = max(1, node.builder[found].range.hi - x.zero)
    times = 2 ** max(0, min(22, 30 - top.bit_length()))
    found = held(node, combined(node, found, found, times, 0, -times * x.zero), 0, times * top)
    return Real(node.shaped(found, node.shape), x.scale / times, wide=True)


def _variance(node: Node, x: Real, n: int, free: float) -> Sum:
    axis = len(node.builder[x.value].shape) - 1
    total = node.step("sum", x.value, axes=(axis,), keepdim=1)
    vectors = (node.builder.shared(vector) for vector in significand(np.array([1 / n])))
    seen = node.builder[x.value].range
    mean = node.step("rescale", total, *vectors, axis=0, zero=0, lo=seen.lo, hi=seen.hi)
    d = node.step("reshape", combined(node, x.value, mean, 1, -1), shape=(*node.builder[total].shape[:-1], 1, n))
    rest = held(node, node.step("sum", d, axes=(axis + 1,), keepdim=1), -n, n)  # a mean is rounded by 1/2 at most
    step = x.scale**2 / free
    return Sum(Real(_squares(node, d), step, wide=True), Real(_squares(node, rest), step / n, wide=True), -1.0)


def _squares(node: Node, value: int) -> int:
    """The sum of the squares of each row."""
    x, n = Real(value, np.ones(1)), node.builder[value].shape[-1]
    found = product(node, x, x, "matmul", n)
    if isinstance(found, Sum):
        raise node.unsupported(f"a sum of {n} squares needs more than 32 bits", "use fewer bits, or take std")
    return node.shaped(found.value, node.shape)


LOWERING = Lowering(_VARIANCES | _DEVIATIONS | _NORMS, _build)
