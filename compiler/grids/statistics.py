"""Scales that are computed from the weight itself at every step, and take no gradient: operators of ours.

Each is (1,), or (channels,) along an axis; that of zeros alone is `SMALLEST`, since no scale is zero.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..direct import constant
from ..grid import SMALLEST, along


def rows(x: Tensor, axis: int | None) -> Tensor:
    """x as (1, all), or as (channels, the values of each)."""
    return x.reshape(1, -1) if axis is None else x.movedim(axis, 0).flatten(1)


def spread(values: Tensor, x: Tensor, axis: int | None) -> Tensor:
    """One number for each of the rows of x, (1,) or (channels,), shaped to broadcast against x."""
    return along(values, x.dim(), axis or 0)


def statistic(op: Any) -> Any:
    """Of an operator on a weight: its values have the shape of a scale, and its gradient is none."""
    op.register_fake(_fake)
    constant(op)
    return op


def _fake(weight: Tensor, axis: int | None, *settings: Any) -> Tensor:
    return weight.new_empty(1 if axis is None else weight.shape[axis])


def _positive(scale: Tensor) -> Tensor:
    return torch.where(scale > 0, scale, SMALLEST)


@statistic
@torch.library.custom_op("lowbit::mean_magnitude", mutates_args=())
def mean_magnitude(weight: Tensor, axis: int | None) -> Tensor:
    """mean|w|: the scale of -1 and 1 with the least mean square error."""
    return _positive(rows(weight, axis).abs().mean(1))


@statistic
@torch.library.custom_op("lowbit::peak_scale", mutates_args=())
def peak_scale(weight: Tensor, axis: int | None, levels: int) -> Tensor:
    """max|w| / levels: the scale of a grid that ends at the largest weight."""
    return _positive(rows(weight, axis).abs().amax(1) / levels)
