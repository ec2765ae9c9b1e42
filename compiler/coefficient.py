"""The coefficient of a penalty: fixed, or learnable as in Choi et al. (arXiv 1809.00095, section 3).

    fixed:      lambda R
    learnable:  e^omega R - alpha omega,   d/d omega = e^omega R - alpha,   so at rest lambda = e^omega = alpha / R

The learnable one grows as R falls: at rest the penalty is alpha log R up to a constant, which drives R to zero
without a schedule. omega is clamped from above, since R = 0 would send it to infinity.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

import torch
from msgspec import Meta
from torch import fx

from .contract import Options
from .edit import Edit

_aten = torch.ops.aten

Positive = Annotated[float, Meta(gt=0, le=1e12)]


class Coefficient(Options, frozen=True):
    """Options of every penalty.

    coefficient: lambda is a constant ("fixed") or trained ("learnable").   initial: the first lambda, a plain factor.
    alpha: weight of the log term of a learnable one.   limit: the largest lambda."""

    coefficient: Literal["fixed", "learnable"] = "learnable"
    initial: Positive = 1.0
    alpha: Positive = 0.01
    limit: Positive = 1e6

    def __post_init__(self) -> None:
        if self.initial > self.limit:
            raise ValueError(f"initial {self.initial:g} is above the limit {self.limit:g}")


def weigh(edit: Edit, options: Coefficient, name: str, penalty: fx.Node) -> fx.Node:
    """The node of the weighted penalty; a learnable coefficient becomes the parameter `lowbit.coefficients.<name>`."""
    if options.coefficient == "fixed":
        return edit.call(_aten.mul.Tensor, penalty, options.initial)
    dtype = penalty.meta["val"].dtype
    first = torch.tensor(math.log(options.initial), dtype=dtype)
    omega = edit.parameter(f"lowbit.coefficients.{name}", first)
    bounded = edit.call(_aten.clamp.default, omega, max=math.log(options.limit))
    pulled = edit.call(_aten.mul.Tensor, edit.call(_aten.exp.default, bounded), penalty)
    return edit.call(_aten.sub.Tensor, pulled, edit.call(_aten.mul.Tensor, bounded, options.alpha))
