"""layer_norm, rms_norm, group_norm, instance_norm: rows less their mean over their deviation, then k y + t.

The rows are standardized to 2^-unit, as fine as 30 bits allow; k and t go into the rounding of the grid behind them.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from ....compiler.operators import calls
from ..affine import affine
from ..lower import ALONE, Lowering, Node
from ..moving import moved
from ..real import Lowered, Moved, Real
from ..rows import Rows

_OF_LAYERS = calls("layer_norm")
_OF_SQUARES = calls("rms_norm")
_OF_GROUPS = calls("group_norm")
_OF_INSTANCES = calls("instance_norm")


def _build(node: Node) -> Lowered:
    x = node.on_grid("input")
    if node.node.target in _OF_LAYERS | _OF_SQUARES:
        return _over_last(node, x)
    if node.sizes is not None:
        raise node.unsupported("its input does not keep the batch as its first axis", ALONE)
    if node.given.get("use_input_stats") is False:
        raise node.unsupported("it has running statistics that no pass folded")
    channels, *sizes = node.builder[x.value].shape
    groups = node.given.get("num_groups", channels)
    rows = _standardized(node, x, (groups, channels // groups * math.prod(sizes)))
    return _scaled(node, replace(rows, value=node.shaped(rows.value, node.shape)), (channels, *[1] * len(sizes)))


def _over_last(node: Node, x: Real) -> Real | Moved:
    """Over the last axes, each element of which has a factor of its own."""
    normalized = tuple(node.given["normalized_shape"])
    whole = node.builder[x.value].shape
    outer, n = whole[: len(whole) - len(normalized)], math.prod(normalized)
    found = _scaled(node, _standardized(node, x, (*outer, n)), (n,))
    return found if len(normalized) == 1 else moved(found, lambda value: node.shaped(value, whole))


def _standardized(node: Node, x: Real, shape: tuple[int, ...]) -> Real:
    """The last axis of that shape, standardized."""
    eps = node.given["eps"] if node.given["eps"] is not None else float(np.finfo(np.float32).eps)
    return Rows(node.node.target not in _OF_SQUARES, eps).of(node, x, shape)


def _scaled(node: Node, y: Real, shape: tuple[int, ...]) -> Real:
    """k y + t, whose constants broadcast in that shape."""
    k, t = (node.floats(name) if name in node.given else None for name in ("weight", "bias"))
    if k is None and t is None:
        return y
    constants = (np.asarray(default if v is None else v, np.float64) for v, default in ((k, 1.0), (t, 0.0)))
    return affine(node, y, *(v.reshape(shape) if v.size > 1 else v for v in constants))


LOWERING = Lowering(_OF_LAYERS | _OF_SQUARES | _OF_GROUPS | _OF_INSTANCES, _build, along=1)
