"""Batch norms: their factor in inference for each channel, k = g / sqrt(var + eps), and those that freeze by steps.

A norm that freezes computes both of its forms, and a `where` takes that of inference from some step on:

    where(step >= n, batch_norm(x, training=False), batch_norm(x, training=True))

Each has a copy of the statistics, and a choice of the copies is written back.
"""

from __future__ import annotations

import torch
from torch import Tensor, fx

from ..clock import STEP
from ..direct import constant
from ..graph import arguments

_aten = torch.ops.aten

FLOOR = 2.0**-5
"""Least magnitude of g in a factor that is divided by again. A norm that begins at zero, as the last one of a residual
block often does, would give its layer a grid far too fine for the weights that come once it has moved.
"""


def factor(g: Tensor | None, var: Tensor, eps: float) -> Tensor:
    """k, (channels,)."""
    k = (var + eps).rsqrt()
    return k if g is None else g * k


@torch.library.custom_op("lowbit::norm_factor", mutates_args=())
def norm_factor(g: Tensor | None, var: Tensor, eps: float) -> Tensor:
    """k, (channels,), of a g at least FLOOR away from zero. A constant of the step: no gradient passes."""
    return factor(None if g is None else g.abs().clamp_min(FLOOR).copysign(g), var, eps)


@norm_factor.register_fake
def _(g: Tensor | None, var: Tensor, eps: float) -> Tensor:
    return torch.empty_like(var)


constant(norm_factor)


def forms(node: fx.Node) -> tuple[fx.Node, fx.Node] | None:
    """(the norm once it is frozen, the norm before), of a choice between the two; None for any other node."""
    if not _by_step(node) or arguments(node)["self"].target is not _aten.batch_norm.default:
        return None
    return arguments(node)["self"], arguments(node)["other"]


def is_second(node: fx.Node) -> bool:
    """Whether this is the form in inference of a norm that freezes: who looks for readers has met the other one."""
    if node.target is not _aten.batch_norm.default or len(node.users) != 1:
        return False
    both = forms(next(iter(node.users)))
    return both is not None and both[0] is node


def sets_statistics(node: fx.Node) -> bool:
    """Whether this call writes the statistics of a norm that freezes: those of before, or new ones."""
    return node.target is _aten.copy_.default and _by_step(arguments(node)["src"])


def _by_step(node: fx.Node) -> bool:
    """Whether this is a choice that the number of steps decides."""
    if node.target is not _aten.where.self:
        return False
    frozen = arguments(node)["condition"]
    return frozen.target is _aten.ge.Scalar and arguments(frozen)["self"].target == STEP
