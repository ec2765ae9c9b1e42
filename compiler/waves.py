"""Sine waves whose zeros are the levels of a grid: operators of penalties, with gradients in closed form."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from .direct import gradient
from .grid import along, reduce_to
from .grids.width import LEAST


@torch.library.custom_op("lowbit::sine", mutates_args=())
def sine(x: Tensor, scale: Tensor, axis: int, odd: bool = False) -> Tensor:
    """The mean over x of sin^2(pi x / scale), a scalar; on an odd grid of cos^2(pi x / (2 scale)).

    x: any shape; scale: (1,) or (x.shape[axis],), positive. Differentiable in both.
    """
    return _mean_square(x, scale, axis, odd)


@sine.register_fake
def _(x: Tensor, scale: Tensor, axis: int, odd: bool = False) -> Tensor:
    return x.new_empty(())


def _phase(x: Tensor, scale: Tensor, axis: int, odd: bool) -> Tensor:
    """How far x lies from the nearest level, in periods of the sine: exact for small distances from far levels."""
    periods = x / along(scale, x.dim(), axis)
    periods = periods.mul_(0.5).add_(0.5) if odd else periods
    return periods.sub_(periods.round())


def _mean_square(x: Tensor, scale: Tensor, axis: int, odd: bool) -> Tensor:
    return _phase(x, scale, axis, odd).mul_(math.pi).sin_().square_().mean()


def _slope(x: Tensor, scale: Tensor, axis: int, odd: bool, grad: Tensor) -> Tensor:
    """grad d/dx of the mean square: pi / (N period) sin(2 pi x / period)."""
    slope = _phase(x, scale, axis, odd).mul_(2 * math.pi).sin_()
    return slope.mul_(grad * (math.pi / x.numel() / (2 if odd else 1))).div_(along(scale, x.dim(), axis))


def _setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, scale, ctx.axis, ctx.odd = inputs
    ctx.save_for_backward(x, scale)


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    """d/d scale = -(x / scale) d/dx, summed over what has the scale."""
    x, scale = ctx.saved_tensors
    by_x = _slope(x, scale, ctx.axis, ctx.odd, grad)
    by_scale = reduce_to(by_x * x, scale, ctx.axis) / -scale if ctx.needs_input_grad[1] else None
    return by_x if ctx.needs_input_grad[0] else None, by_scale, None, None


gradient(sine, _backward, _setup)


@torch.library.custom_op("lowbit::width_wave", mutates_args=())
def width_wave(x: Tensor, scale: Tensor, bits: Tensor, axis: int, most: int) -> Tensor:
    """The mean over x of sin^2(pi x / d) / 2^beta, a scalar, where d has the width beta as a real number.

    scale: of the grid of ceil(beta) bits, a constant.   bits: (1,), beta, between 2 and `most`. Differentiable in x and
    in bits:  d R / d beta = ln 2 (sum_x x dR/dx 2^(beta-1) / (2^(beta-1) - 1) - R).
    """
    beta, period, _ = _period(scale, bits, most)
    return _mean_square(x, period, axis, False) / torch.exp2(beta.reshape(()))


@width_wave.register_fake
def _(x: Tensor, scale: Tensor, bits: Tensor, axis: int, most: int) -> Tensor:
    return x.new_empty(())


def _period(scale: Tensor, bits: Tensor, most: int) -> tuple[Tensor, Tensor, Tensor]:
    """(beta, the period, the derivative of -log2 of the period in beta)."""
    beta, whole = bits.clamp(LEAST, most), bits.ceil().clamp(LEAST, most)
    levels = torch.exp2(beta - 1) - 1
    return beta, scale * (torch.exp2(whole - 1) - 1) / levels, (levels + 1) / levels


def _setup_width(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, scale, bits, ctx.axis, ctx.most = inputs
    ctx.save_for_backward(x, scale, bits, output)


def _backward_width(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    x, scale, bits, value = ctx.saved_tensors
    beta, period, finer = _period(scale, bits, ctx.most)
    by_x = _slope(x, period, ctx.axis, False, grad / torch.exp2(beta.reshape(())))
    by_bits = None
    if ctx.needs_input_grad[2]:
        inside = (bits >= LEAST) & (bits <= ctx.most)
        by_bits = math.log(2) * ((by_x * x).sum() * finer - grad * value) * inside
    return by_x if ctx.needs_input_grad[0] else None, None, by_bits, None, None


gradient(width_wave, _backward_width, _setup_width)
