"""How near two runs of a model are: the first tensor, by name, in which they differ."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

TRAINING, EVAL = 1e-4, 1e-5
"""Largest relative differences accepted; both sides run the same kernels in the same order, so 0 is usual."""
NOISE = 1e-5
"""A gradient is compared relative to itself, but to no less than this share of the largest one: a bias before a batch
norm has none but rounding errors."""


def difference(ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor], tolerance: float) -> str:
    """The first thing that differs, or that one side has alone."""
    grads = [_magnitude(x) for name, x in theirs.items() if name.startswith("the gradient")]
    floor = NOISE * max(grads, default=0.0)
    for name, expected in theirs.items():
        least = floor if name.startswith("the gradient") else 0.0
        if name not in ours or _far(ours[name], expected, tolerance, least):
            return name
    return next((name for name in ours if name not in theirs and not name.startswith("buffer")), "")


def _far(ours: Tensor, theirs: Tensor, tolerance: float, least: float) -> bool:
    if ours.shape != theirs.shape or ours.dtype != theirs.dtype:
        return True
    if theirs.is_complex():
        return _far(torch.view_as_real(ours), torch.view_as_real(theirs), tolerance, least)
    if not theirs.is_floating_point():
        return not torch.equal(ours, theirs)
    bound = tolerance * max(_magnitude(theirs), least, 1e-6)
    return not torch.allclose(ours, theirs, rtol=0, atol=bound, equal_nan=True)


def _magnitude(tensor: Tensor) -> float:
    """The largest finite absolute value."""
    finite = tensor[tensor.isfinite()].abs() if tensor.is_floating_point() else tensor.new_zeros(0)
    return float(finite.max()) if finite.numel() else 0.0
