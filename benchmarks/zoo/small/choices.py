"""Choices: torch.cond, of layers, nested, and with a side that must not run where it is not selected."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from .made import made, vectors


@made(vectors, lambda: {"lin": nn.Linear(8, 8)})
def torch_cond(self: Any, x: Tensor) -> Tensor:
    y = self.lin(x)
    return torch.cond(y.sum() > 0, lambda t: t.sin(), lambda t: t.cos(), (y,))


@made(vectors, lambda: {"lin": nn.Linear(8, 8), "one": nn.Linear(8, 8), "two": nn.Linear(8, 8)})
def a_choice_of_layers(self: Any, x: Tensor) -> Tensor:
    y = self.lin(x).relu()
    return torch.cond(y.mean() > 0.5, self.one, self.two, (y,))


@made(vectors, lambda: {"lin": nn.Linear(8, 8), "one": nn.Linear(8, 8)})
def a_choice_within_a_choice(self: Any, x: Tensor) -> Tensor:
    def inner(t: Tensor) -> Tensor:
        return torch.cond(t.max() > 1, lambda u: u / u.max(), lambda u: self.one(u), (t,))

    y = self.lin(x)
    return torch.cond(y.sum() > 0, inner, lambda t: inner(t + 1) * 2, (y,))


@made(vectors, lambda: {"lin": nn.Linear(8, 8)})
def a_root_that_is_not_selected(self: Any, x: Tensor) -> Tensor:
    y = self.lin(x).relu()
    return torch.cond(y.min() > 0, lambda t: t.sqrt(), lambda t: t * 2, (y,))


@made(vectors, lambda: {"lin": nn.Linear(8, 8)})
def a_choice_by_the_batch_size(self: Any, x: Tensor) -> Tensor:
    return torch.cond(x.shape[0] > 4, lambda t: t.sigmoid(), lambda t: t.tanh(), (self.lin(x),))


@made(vectors, lambda: {"lin": nn.Linear(8, 8), "one": nn.Linear(8, 8)})
def a_choice_without_gradients(self: Any, x: Tensor) -> Tensor:
    def side(t: Tensor) -> Tensor:
        with torch.no_grad():
            scale = t.abs().amax()
        return self.one(t) / (scale + 1)

    y = self.lin(x)
    return torch.cond(y.sum() > 0, side, lambda t: t.exp(), (y,))
