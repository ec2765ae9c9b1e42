"""Magnitude: below which absolute value a given share of the weights lies, and which weights lie above it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, TypeAlias

import torch
from msgspec import Meta
from torch import Tensor

from .errors import UserError

Deviations: TypeAlias = Annotated[float, Meta(ge=-2, le=10)]
"""sigma of a threshold mean |w| + sigma std |w|."""


def check_shares(shares: Iterable[float], scope: str) -> None:
    """Raise UserError where layers ask for shares of their own although all are pooled ("global")."""
    if scope == "global" and len(set(shares)) > 1:
        raise UserError(
            "layers have sparsities of their own, but the scope is 'global'",
            why="one threshold is taken over all weights together",
            fix="set scope = 'layer', or leave single layers out",
        )


def cubic(first: float, last: float, progress: float) -> float:
    """A share on its way from the first to the last, fast in the beginning: `progress` 0..1 of the way is over."""
    return first + (last - first) * (1 - (1 - progress) ** 3)


def threshold(weights: Sequence[Tensor], share: float, samples: int = 0) -> Tensor:
    """The magnitude, a scalar, that `share` (0..1) of all the weights together do not exceed; -1 for a share of 0.

    samples: look at about so many of them, at a fixed stride; 0 looks at all.
    """
    total = sum(w.numel() for w in weights)
    stride = max(1, total // samples) if samples else 1
    flat = torch.cat([w.detach().reshape(-1)[::stride] for w in weights]).abs_()
    rank = round(share * flat.numel())
    return flat.kthvalue(rank).values if rank else flat.new_full((), -1.0)


def thresholds(weights: Sequence[Tensor], shares: Sequence[float], scope: str, samples: int = 0) -> list[Tensor]:
    """One threshold a tensor: of its own weights by its own share ("layer"), of all by the first share ("global")."""
    if scope == "global":
        return [threshold(weights, shares[0], samples)] * len(weights)
    return [threshold([w], share, samples) for w, share in zip(weights, shares, strict=True)]


def deviating(w: Tensor, sigma: float, dim: int | None = None) -> Tensor:
    """The mean of |w| and sigma of its standard deviations, of all of w, a scalar, or along one axis."""
    size = w.detach().abs()
    return size.mean(dim) + sigma * size.std(dim, correction=0)


def largest(weights: Sequence[Tensor], shares: Sequence[float], scope: str) -> list[Tensor]:
    """Of each tensor which values stay, bool, when the smallest share of them goes; shares and scope as above.

    As many go as the share says, to the nearest whole number: of equal magnitudes, the first.
    """
    if scope == "global":
        return _largest(weights, shares[0])
    return [_largest([w], share)[0] for w, share in zip(weights, shares, strict=True)]


def _largest(weights: Sequence[Tensor], share: float) -> list[Tensor]:
    limit = threshold(weights, share)
    above = [w.abs() > limit for w in weights]
    left = round(share * sum(w.numel() for w in weights)) - sum(int((~stay).sum()) for stay in above)
    return above if left == 0 else _first_go(weights, above, limit, -left)


def _first_go(weights: Sequence[Tensor], above: Sequence[Tensor], limit: Tensor, spared: int) -> list[Tensor]:
    """Spare the last so many of the values whose magnitude is the limit."""
    tied = torch.cat([(w.abs() == limit).reshape(-1) for w in weights])
    last = tied.flip(0).cumsum(0).flip(0) <= spared
    back = torch.split(tied & last, [w.numel() for w in weights])
    return [stay | more.reshape(stay.shape) for stay, more in zip(above, back, strict=True)]
