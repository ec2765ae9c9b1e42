"""The coefficient of a penalty: fixed, on a schedule, or learnable as in Choi et al. (arXiv 1809.00095, section 3).

    fixed:      lambda R
    scheduled:  lambda(t) R, see `compiler/schedule.py`
    learnable:  e^omega R - alpha omega,   d/d omega = e^omega R - alpha,   so at rest lambda = e^omega = alpha / R

The learnable one grows as R falls: at rest the penalty is alpha log R up to a constant, which drives R to zero
without a schedule. omega is clamped from above, since R = 0 would send it to infinity.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, TypeAlias

import torch
from msgspec import Meta
from torch import Tensor, fx

from .contract import Options
from .direct import gradient
from .edit import Edit
from .rule import Match
from .schedule import Shape, Share, in_order, scheduled

_aten, _own = torch.ops.aten, torch.ops.lowbit

COEFFICIENTS = "lowbit.coefficients."
"""Names of the parameters omega of learnable coefficients, and of the buffers lambda of scheduled ones."""

Kind: TypeAlias = Literal["fixed", "scheduled", "learnable"]
Positive = Annotated[float, Meta(gt=0, le=1e12)]
NotNegative = Annotated[float, Meta(ge=0, le=1e12)]


class Coefficient(Options, frozen=True):
    """Options of every penalty.

    coefficient: lambda is a constant ("fixed"), a function of the step ("scheduled") or trained ("learnable").
    initial: the first lambda, a plain factor.   alpha: weight of the log term of a learnable one.   limit: its largest
    lambda.   schedule, final, begin, end: a scheduled one goes from `initial` to `final`, up or down, between these
    shares of the training: "ramp" evenly, "exponential" by even factors, "tanh" in an S; "constant" is at once `final`.
    """

    coefficient: Kind = "learnable"
    initial: NotNegative = 1.0
    alpha: Positive = 0.01
    limit: Positive = 1e6
    schedule: Shape = "ramp"
    final: NotNegative = 1.0
    begin: Share = 0.0
    end: Share = 1.0

    def __post_init__(self) -> None:
        if self.coefficient == "learnable" and self.initial > self.limit:
            raise ValueError(f"initial {self.initial:g} is above the limit {self.limit:g}")
        if self.coefficient == "scheduled" and self.schedule == "exponential" and not (self.initial and self.final):
            raise ValueError("an exponential schedule cannot begin or end at 0")
        if self.coefficient == "learnable" and not self.initial:
            raise ValueError("a learnable coefficient cannot begin at 0: its logarithm is trained")
        if self.coefficient == "learnable" and not self.final:
            raise ValueError("`final` is of a scheduled coefficient: a learnable one goes where alpha / R takes it")
        in_order(self.begin, self.end)


@torch.library.custom_op("lowbit::bounded", mutates_args=())
def bounded(x: Tensor, limit: float) -> Tensor:
    """x, at most the limit. There the gradient still lets x fall, and no longer rise: it does not stay for good."""
    return x.clamp_max(limit)


@bounded.register_fake
def _(x: Tensor, limit: float) -> Tensor:
    return torch.empty_like(x)


def _setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, ctx.limit = inputs
    ctx.save_for_backward(x)


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
    (x,) = ctx.saved_tensors
    return grad.masked_fill((x >= ctx.limit).logical_and_(grad < 0), 0), None


gradient(bounded, _backward, _setup)


def penalize(match: Match, edit: Edit, name: str, measure: fx.Node) -> None:
    """Add the penalty of that name, R weighted by its coefficient, whose tensor is `lowbit.coefficients.<name>`."""
    options: Coefficient = match.options
    if options.coefficient == "learnable":
        return _learnable(edit, options, name, measure)
    factor = options.initial if options.coefficient == "fixed" else _scheduled(match, edit, options, name, measure)
    edit.penalty(name, edit.call(_aten.mul.Tensor, measure, factor), measure, factor)
    return None


def _scheduled(match: Match, edit: Edit, options: Coefficient, name: str, measure: fx.Node) -> fx.Node:
    begin, end = (match.step_at(share, f"the coefficient of {name}") for share in (options.begin, options.end))
    span = options.schedule, begin, end, options.initial, options.final
    return scheduled(edit, f"{COEFFICIENTS}{name}", measure.meta["val"].dtype, span)


def _learnable(edit: Edit, options: Coefficient, name: str, measure: fx.Node) -> None:
    first = torch.tensor(math.log(options.initial), dtype=measure.meta["val"].dtype)
    omega = edit.call(_own.bounded.default, edit.parameter(f"{COEFFICIENTS}{name}", first), math.log(options.limit))
    factor = edit.call(_aten.exp.default, omega)
    pulled = edit.call(_aten.mul.Tensor, factor, measure)
    edit.penalty(name, edit.call(_aten.sub.Tensor, pulled, omega, alpha=options.alpha), measure, factor)
