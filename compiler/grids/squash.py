"""tanh(w) / max|tanh(w)|: weights brought into [-1, 1], as DoReFa does before it rounds."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..direct import gradient
from .statistics import rows, spread


@torch.library.custom_op("lowbit::squashed", mutates_args=())
def squashed(weight: Tensor, axis: int | None, peak: bool) -> Tensor:
    """tanh(w) / max|tanh(w)|, over all of w or along each index of an axis; zeros stay zeros.

    peak: times max|w|, which counts as a constant. The gradient goes through tanh and its maximum, see `_backward`.
    """
    return _unit(weight, axis) * _size(weight, axis, peak)


@squashed.register_fake
def _(weight: Tensor, axis: int | None, peak: bool) -> Tensor:
    return torch.empty_like(weight)


def _unit(weight: Tensor, axis: int | None) -> Tensor:
    t = torch.tanh(weight)
    return t / spread(_largest(t, axis), weight, axis)


def _largest(x: Tensor, axis: int | None) -> Tensor:
    largest = rows(x, axis).abs().amax(1)
    return torch.where(largest > 0, largest, 1.0)


def _size(weight: Tensor, axis: int | None, peak: bool) -> Tensor | float:
    return spread(_largest(weight, axis), weight, axis) if peak else 1.0


def _setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    weight, ctx.axis, ctx.peak = inputs
    ctx.save_for_backward(weight)


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    """Of u = t / m with t = tanh(w), m = max|t|:  (1 - t^2) (g - [|t| = m] sign(t) sum(g u) / n) / m,  n maxima."""
    (weight,) = ctx.saved_tensors
    axis, g = ctx.axis, grad * _size(weight, ctx.axis, ctx.peak)
    t = torch.tanh(weight)
    m = spread(_largest(t, axis), weight, axis)
    first = t.abs() == m
    through = (rows(g * t / m, axis).sum(1), rows(first, axis).sum(1).clamp_min(1))
    pulled = spread(through[0] / through[1], weight, axis)
    return (1 - t.square()) * (g - first * t.sign() * pulled) / m, None, None


gradient(squashed, _backward, _setup)
