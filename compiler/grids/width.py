"""The scale of a grid whose width is trained: as fine as its bits allow, up to the largest weight."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from ..direct import gradient
from ..grid import SMALLEST
from .statistics import rows

LEAST = 2
"""Bits below which a symmetric grid has but a zero."""


@torch.library.custom_op("lowbit::width_scale", mutates_args=())
def width_scale(weight: Tensor, bits: Tensor, axis: int | None, most: int) -> Tensor:
    """max|w| / (2^(b-1) - 1), (1,) or (channels,), for b = ceil(bits) between 2 and `most`. bits: (1,).

    Differentiable in bits, as if b were a real number there; the weight gets no gradient.
    """
    top = rows(weight, axis).abs().amax(1)
    scale = top / (torch.exp2(_whole(bits, most) - 1) - 1)
    return torch.where(scale > 0, scale, SMALLEST)


@width_scale.register_fake
def _(weight: Tensor, bits: Tensor, axis: int | None, most: int) -> Tensor:
    return weight.new_empty(1 if axis is None else weight.shape[axis])


def _whole(bits: Tensor, most: int) -> Tensor:
    return bits.ceil().clamp(LEAST, most)


def _setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    _, bits, _, ctx.most = inputs
    ctx.save_for_backward(bits, output)


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    """d scale / d b = -scale ln 2 2^(b-1) / (2^(b-1) - 1)."""
    bits, scale = ctx.saved_tensors
    levels = torch.exp2(_whole(bits, ctx.most) - 1)
    return None, -math.log(2) * levels / (levels - 1) * (grad * scale).sum(), None, None


gradient(width_scale, _backward, _setup)
