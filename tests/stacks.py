"""A stack of layers whose forward is given: for branches between them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

Forward = Callable[..., Any]


class Stack(nn.Module):
    """Layers, a head and a buffer, and a forward that runs some of them."""

    def __init__(self, forward: Forward, layers: int = 2, layer: Callable[[], nn.Module] | None = None) -> None:
        super().__init__()
        make = layer or (lambda: nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4)))
        self.layers, self.head, self.run = nn.ModuleList(make() for _ in range(layers)), nn.Linear(4, 2), forward
        self.register_buffer("steps", torch.zeros(4))

    def forward(self, x: Tensor) -> Any:
        return self.run(self, x)


def drawn(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


def named(case: Any) -> str:
    """The name of a case that is a function."""
    return getattr(case, "__name__", "")
