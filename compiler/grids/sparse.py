"""Weights whose small ones become zero by a threshold that follows them, as TWN and SQuantizer have it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..direct import gradient
from ..grid import SMALLEST
from ..magnitude import deviating
from .statistics import rows, spread, statistic

TWN = 0.7
"""The threshold of ternary weights as a share of mean|w|: near the best of a normal or uniform distribution."""
NEAREST = 0.75
"""How near to zero a survivor is read, in steps: one that is nearer than half a step would round to zero."""


def _threshold(weight: Tensor, axis: int | None) -> Tensor:
    return TWN * rows(weight, axis).abs().mean(1)


@statistic
@torch.library.custom_op("lowbit::ternary_scale", mutates_args=())
def ternary_scale(weight: Tensor, axis: int | None) -> Tensor:
    """The mean of |w| over those above the threshold."""
    magnitude = rows(weight, axis).abs()
    large = magnitude > _threshold(weight, axis)[:, None]
    scale = (magnitude * large).sum(1) / large.sum(1).clamp_min(1)
    return torch.where(scale > 0, scale, SMALLEST)


@torch.library.custom_op("lowbit::ternary_values", mutates_args=())
def ternary_values(weight: Tensor, axis: int | None) -> Tensor:
    """w with zeros up to the threshold; what lies above it is read as at least 3/4 of the scale, so it rounds to 1.

    The gradient passes as if nothing had been done.
    """
    least = spread(NEAREST * ternary_scale(weight, axis), weight, axis)
    large = weight.abs() > spread(_threshold(weight, axis), weight, axis)
    return weight.sign() * torch.maximum(weight.abs(), least) * large


@ternary_values.register_fake
def _(weight: Tensor, axis: int | None) -> Tensor:
    return torch.empty_like(weight)


def _straight(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    return grad, None


gradient(ternary_values, _straight)


@torch.library.custom_op("lowbit::above_spread", mutates_args=())
def above_spread(weight: Tensor, axis: int | None, sigma: float) -> Tensor:
    """w with zeros below mean|w| + sigma std|w|, but for the largest; what is zero gets no gradient."""
    return weight * _survives(weight, axis, sigma)


@above_spread.register_fake
def _(weight: Tensor, axis: int | None, sigma: float) -> Tensor:
    return torch.empty_like(weight)


def _survives(weight: Tensor, axis: int | None, sigma: float) -> Tensor:
    values = rows(weight, axis)
    threshold = deviating(values, sigma, 1).minimum(values.abs().amax(1))
    return weight.abs() >= spread(threshold, weight, axis)


def _setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    weight, ctx.axis, ctx.sigma = inputs
    ctx.save_for_backward(weight)


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    return grad * _survives(ctx.saved_tensors[0], ctx.axis, ctx.sigma), None, None


gradient(above_spread, _backward, _setup)
