"""Methods of calibration: what is kept of the values that arrive at a grid, and the scale that it gives in the end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from .errors import UserError
from .grid import Grid, best_scale

SAMPLES = 1 << 16
"""Values kept of an edge for each batch; more change the scale by less than its step."""
PERCENT = 99.99
"""The share of magnitudes that the percentile method lets a grid reach."""
MOMENTUM = 0.9
"""How much of a moving average each batch leaves as it was."""

Kept = list[list[Tensor]]
"""Of each edge that has the scale, what was kept of each batch."""


@dataclass(frozen=True)
class Method:
    """keep: of the values of one batch.   scale: (1,), of all that was kept, for a grid."""

    keep: Callable[[Tensor], Tensor]
    scale: Callable[[Kept, Grid], Tensor]


def _sampled(x: Tensor) -> Tensor:
    flat = x.reshape(-1)
    return flat[:: max(1, flat.numel() // SAMPLES)].clone()


def _ends(x: Tensor) -> Tensor:
    return torch.stack(torch.aminmax(x))


def _every(kept: Kept) -> Tensor:
    return torch.cat([values for edge in kept for values in edge])


def _percentile(kept: Kept, grid: Grid) -> Tensor:
    sizes = _every(kept).abs()
    place = min(sizes.numel(), 1 + int(PERCENT / 100 * (sizes.numel() - 1) + 0.5))
    top = sizes.kthvalue(place).values
    return _reaching(-top if grid.signed else torch.zeros_like(top), top, grid)


def _minmax(kept: Kept, grid: Grid) -> Tensor:
    every = _every(kept)
    return _reaching(every.min(), every.max(), grid)


def _moving_average(kept: Kept, grid: Grid) -> Tensor:
    """Of the ends of each batch, over all edges, in the order of the batches."""
    least, most = ([pick(torch.stack(batch)) for batch in zip(*kept, strict=True)] for pick in (torch.min, torch.max))
    return _reaching(_averaged(least), _averaged(most), grid)


def _averaged(values: list[Tensor]) -> Tensor:
    mean = values[0]
    for new in values[1:]:
        mean = MOMENTUM * mean + (1 - MOMENTUM) * new
    return mean


def _reaching(least: Tensor, most: Tensor, grid: Grid) -> Tensor:
    """The smallest scale of which the grid reaches from `least` to `most`; of zeros alone that of ones."""
    lo, hi = grid.reach
    below = least / lo if lo else torch.zeros_like(least)
    scale = torch.maximum(most / max(1, hi), below).reshape(1)
    return torch.where(scale > 0, scale, 1 / max(1, hi))


METHODS: Mapping[str, Method] = {
    "mse": Method(_sampled, lambda kept, grid: best_scale(_every(kept), grid)),
    "minmax": Method(_ends, _minmax),
    "percentile": Method(_sampled, _percentile),
    "moving_average": Method(_ends, _moving_average),
}
"""mse: the least mean square error.   minmax: nothing is clipped.   percentile: as minmax, but for the largest
magnitudes, one in ten thousand.   moving_average: as minmax, of ends that follow the batches (Jacob et al. 2017)."""


def chosen(name: object, where: str) -> Method:
    """The method of that name. Raises UserError if there is none."""
    if not isinstance(name, str) or name not in METHODS:
        raise UserError(
            f"no method of calibration is called {name!r}", where=where, fix=f"one of: {', '.join(METHODS)}"
        )
    return METHODS[name]
