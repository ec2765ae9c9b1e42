"""Magnitude thresholds: below which absolute value a given share of the weights lies."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from .errors import UserError


def check_shares(shares: Iterable[float], scope: str) -> None:
    """Raise UserError where layers ask for shares of their own although all are pooled ("global")."""
    if scope == "global" and len(set(shares)) > 1:
        raise UserError(
            "layers have sparsities of their own, but the scope is 'global'",
            why="one threshold is taken over all weights together",
            fix="set scope = 'layer', or leave single layers out",
        )


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
