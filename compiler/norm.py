"""The factor of a batch norm in inference, for each channel: k = g / sqrt(var + eps)."""

from __future__ import annotations

import torch
from torch import Tensor

FLOOR = 1e-8
"""Least magnitude of a factor that is divided by again: the quotient of two such floats still has all its digits."""


def factor(g: Tensor | None, var: Tensor, eps: float) -> Tensor:
    """k, (channels,)."""
    k = (var + eps).rsqrt()
    return k if g is None else g * k


@torch.library.custom_op("lowbit::norm_factor", mutates_args=())
def norm_factor(g: Tensor | None, var: Tensor, eps: float) -> Tensor:
    """k, (channels,), at least FLOOR away from zero. A constant of the step: no gradient passes."""
    k = factor(g, var, eps)
    return k.abs().clamp_min(FLOOR).copysign(k)


@norm_factor.register_fake
def _(g: Tensor | None, var: Tensor, eps: float) -> Tensor:
    return torch.empty_like(var)


norm_factor.register_autograd(lambda ctx, grad: (None, None, None))
