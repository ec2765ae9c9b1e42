"""Shapes: what is computed from the batch size, views, and calls that write in place."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..row import Given, noise
from .made import made, pictures, sequences, two, vectors


@made(pictures, lambda: {"lin": nn.Linear(48, 4)})
def reshapes_by_the_batch(self: Any, x: Tensor) -> Tensor:
    y = x.reshape(x.shape[0] * 4, -1)
    return self.lin(y).view(x.size(0), 4, -1).flatten(1)


@made(sequences, lambda: {"token": nn.Parameter(torch.randn(1, 1, 8)), "positions": nn.Parameter(torch.randn(1, 6, 8))})
def a_class_token(self: Any, x: Tensor) -> Tensor:
    return torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.positions


@made(vectors, lambda: {"lin": nn.Linear(8, 8)})
def division_by_the_batch(self: Any, x: Tensor) -> Tensor:
    y = self.lin(x)
    return y.sum(0, keepdim=True) / x.shape[0] + y * (1.0 / len(x))


@made(vectors, lambda: {"lin": nn.Linear(8, 8)})
def batch_against_batch(self: Any, x: Tensor) -> Tensor:
    y = F.normalize(self.lin(x), dim=1)
    return y @ y.T - torch.eye(x.shape[0], device=x.device)


@made(sequences, lambda: {"lin": nn.Linear(8, 8)})
def masks_and_positions(self: Any, x: Tensor) -> Tensor:
    n = x.shape[1]
    mask = torch.full((n, n), float("-inf")).triu(1)
    waves = torch.sin(torch.arange(n)[:, None] / 10.0 ** (torch.arange(8) / 8))
    y = self.lin(x + waves)
    return (y @ y.transpose(1, 2) + mask).softmax(-1) @ y


@made(sequences, lambda: {"lin": nn.Linear(8, 8)})
def factories_with_a_device(self: Any, x: Tensor) -> Tensor:
    y = torch.zeros(x.shape[0], 1, 8, device=x.device, dtype=x.dtype)
    return torch.cat([y, self.lin(x), torch.ones_like(y), x.new_full((x.shape[0], 1, 8), 0.5)], 1)


def padded(batch: int) -> Given:
    lengths = torch.arange(batch) % 4 + 2
    return (noise(batch, 5, 8),), {"mask": torch.arange(5) < lengths[:, None]}


@made(padded, lambda: {"lin": nn.Linear(8, 8)})
def a_mask_of_bools(self: Any, x: Tensor, mask: Tensor) -> Tensor:
    scores = self.lin(x).masked_fill(~mask[..., None], -1e9).softmax(1)
    return torch.where(mask[..., None], scores, 0.0).sum(1) / mask.sum(1, keepdim=True)


@made(padded, lambda: {"lin": nn.Linear(8, 8)})
def attention_with_a_padding_mask(self: Any, x: Tensor, mask: Tensor) -> Tensor:
    y = self.lin(x).view(*x.shape[:2], 2, 4).transpose(1, 2)
    return F.scaled_dot_product_attention(y, y, y, attn_mask=mask[:, None, None, :])


@made(vectors, lambda: {"lin": nn.Linear(8, 8)})
def writes_into_a_view(self: Any, x: Tensor) -> Tensor:
    y = self.lin(x)
    y[:, :4].mul_(2)
    y.view(-1)[::2].add_(1)
    return y


@made(vectors, lambda: {"lin": nn.Linear(8, 8)})
def slices_assigned(self: Any, x: Tensor) -> Tensor:
    y = torch.zeros(x.shape[0], 10)
    y[:, 1:9] = self.lin(x)
    y[:, 0] = x.mean(1)
    y[:, -1] = 3.0
    return y


@made(vectors, lambda: {"lin": nn.Linear(8, 8)})
def writes_under_a_mask(self: Any, x: Tensor) -> Tensor:
    y = self.lin(x).clone()
    y[y < 0] = 0.0
    y.masked_fill_(y > 1, 1.0)
    return y


@made(pictures, lambda: {"conv": nn.Conv2d(3, 3, 1)})
def a_value_read_before_it_is_overwritten(self: Any, x: Tensor) -> Tensor:
    y = self.conv(x)
    kept = y * 1
    F.relu_(y)
    return y + kept


@made(pictures, lambda: {"conv": nn.Conv2d(3, 3, 1)})
def a_value_read_after_it_is_overwritten(self: Any, x: Tensor) -> Tensor:
    y = self.conv(x)
    return y + F.relu_(y)


@made(vectors, lambda: {"lin": nn.Linear(8, 8)})
def an_input_overwritten(self: Any, x: Tensor) -> Tensor:
    x.mul_(0.5)
    return self.lin(x) + x


@made(vectors, lambda: {"lin": nn.Linear(8, 8)})
def indices_sorts_and_gathers(self: Any, x: Tensor) -> tuple[Tensor, Tensor]:
    y = self.lin(x)
    best, places = y.topk(3, 1)
    order = y.argsort(1)
    return best, y.gather(1, order) + y.scatter(1, places, 0.0) + y.index_select(
        1, torch.tensor([7, 6, 5, 4, 3, 2, 1, 0])
    )


@made(vectors, lambda: {"lin": nn.Linear(8, 8)})
def a_mixture_of_experts(self: Any, x: Tensor) -> Tensor:
    weights = F.one_hot(self.lin(x).argmax(1), 8).to(x.dtype) * self.lin(x).softmax(1)
    return weights @ self.lin.weight


@made(pictures, lambda: {"convs": nn.ModuleList(nn.Conv2d(1, 2, 3, padding=i) for i in range(3))})
def splits_and_loops(self: Any, x: Tensor) -> Tensor:
    parts = [conv(part) for conv, part in zip(self.convs, x.split(1, dim=1), strict=True)]
    size = min(part.shape[-1] for part in parts)
    return torch.cat([part[..., :size, :size] for part in parts], 1).roll(1, -1)


@made(two, lambda: {"lin": nn.Linear(8, 8)})
def a_check_of_shapes(self: Any, x: Tensor, y: Tensor) -> Tensor:
    if x.shape != y.shape:
        raise ValueError("the two must have one shape")
    assert x.dim() == 2, "a batch of vectors"
    return self.lin(x) - y


@made(two, lambda: {"lin": nn.Linear(8, 8)})
def no_input_reaches_the_output(self: Any, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    return self.lin.weight.softmax(0), self.lin(x) + y
