"""relu6, hardtanh, clamp: limits on either side, between which the grid behind them holds its integers."""

from __future__ import annotations

import numpy as np
import torch

from ....compiler.arrays import Floats
from ..lower import Lowering, Node
from ..real import Curve, Limited, Lowered, Moved, Quotient, Sum

_aten = torch.ops.aten
_SIXES = frozenset({_aten.relu6.default, _aten.relu6_.default})


def _build(node: Node) -> Lowered:
    grid = torch.ops.lowbit.fake_quantize.default
    if not all(reader.target is grid for reader in node.node.users):
        raise node.unsupported("it is read by something other than a grid")
    x = node.given["self"] if isinstance(node.given["self"], (Sum, Quotient, Curve, Moved)) else node.real("self")
    if node.node.target in _SIXES:
        return Limited(x, 0.0, np.asarray(6.0))
    least, most = ("min_val", "max_val") if "min_val" in node.given else ("min", "max")
    return Limited(x, _number(node, least), _limits(node, most))


def _number(node: Node, name: str) -> float | None:
    value = node.given.get(name)
    return None if value is None else float(value)


def _limits(node: Node, name: str) -> Floats | None:
    """One number, or one for each channel: a constant that broadcasts along the batch."""
    value = node.given.get(name)
    if value is None:
        return None
    limits = np.asarray(value, dtype=np.float64)
    if limits.size > 1 and limits.ndim > len(node.shape) and limits.shape[0] != 1:
        raise node.unsupported("its limits differ along the batch")
    return limits


LOWERING = Lowering(
    _SIXES
    | frozenset(
        {
            *(_aten.hardtanh.default, _aten.hardtanh_.default, _aten.clamp.default, _aten.clamp_.default),
            *(_aten.clamp_min.default, _aten.clamp_max.default, _aten.clamp_max.Tensor),
        }
    ),
    _build,
    along=0,
)
