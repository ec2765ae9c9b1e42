"""Branches on draws and on checks for finite numbers: layers dropped at random, values clamped when they overflow."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from .made import made, vectors


def _parts() -> dict[str, Any]:
    layer = nn.Sequential
    return {"layers": nn.ModuleList(layer(nn.Linear(8, 8), nn.GELU(), nn.LayerNorm(8)) for _ in range(3))}


@made(vectors, _parts)
def a_layer_dropped_by_torch(self: Any, x: Tensor) -> Tensor:
    for layer in self.layers:
        if self.training and torch.rand([]) < 0.5:
            continue
        x = layer(x)
    return x


@made(vectors, _parts)
def a_residual_kept_by_bernoulli(self: Any, x: Tensor) -> Tensor:
    for layer in self.layers:
        if not self.training or torch.empty(1).bernoulli_(0.7):
            x = x + layer(x)
    return x


@made(vectors, _parts)
def a_residual_dropped_by_a_number(self: Any, x: Tensor) -> Tensor:
    for layer in self.layers:
        if not (self.training and torch.rand(1).item() < 0.3):
            x = x + layer(x) / 0.7
    return x


@made(vectors, _parts)
def a_clamp_when_not_finite(self: Any, x: Tensor) -> Tensor:
    for layer in self.layers:
        x = layer(x)
        if not torch.isfinite(x).all():
            largest = torch.finfo(x.dtype).max - 1000
            x = torch.clamp(x, min=-largest, max=largest)
    return x


@made(vectors, _parts)
def zeros_for_infinity_or_nan_in_dropped_layers(self: Any, x: Tensor) -> Tensor:
    for layer in self.layers:
        if self.training and torch.rand(()) < 0.3:
            continue
        x = layer(x)
        if x.isinf().any() or x.isnan().any():
            x = x.nan_to_num(0.0, 0.0, 0.0)
    return x


@made(vectors, lambda: {"lin": nn.Linear(8, 8)}, refused=r"branch lies in another", line="torch.rand([]) < 0.5")
def a_branch_in_a_drawn_branch(self: Any, x: Tensor) -> Tensor:
    y = self.lin(x)
    if self.training and torch.rand([]) < 0.5:
        y = y * 2 if torch.rand([]) < 0.2 else y * 3
    return y
