"""Magnitude thresholds: below which absolute value a given share of the weights lies."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

SAMPLED = 1 << 20
"""Weights looked at for one threshold; a larger set is sampled at a fixed stride, exact to about 0.1 % of its share."""


def threshold(weights: Sequence[Tensor], share: float) -> Tensor:
    """The magnitude, a scalar, that `share` (0..1) of all the weights together do not exceed; -1 for a share of 0."""
    flat = torch.cat([w.detach().abs().reshape(-1) for w in weights])
    flat = flat[:: max(1, flat.numel() // SAMPLED)]
    rank = round(share * flat.numel())
    return flat.kthvalue(rank).values if rank else flat.new_full((), -1.0)


def thresholds(weights: Sequence[Tensor], shares: Sequence[float], scope: str) -> list[Tensor]:
    """One threshold a tensor: of its own weights by its own share ("layer"), of all by the first share ("global")."""
    if scope == "global":
        return [threshold(weights, shares[0])] * len(weights)
    return [threshold([w], share) for w, share in zip(weights, shares, strict=True)]
