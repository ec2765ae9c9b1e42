"""Train and eval: noise, statistics and whatever else changes with the mode, in every spelling."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .made import made, pictures, sequences, vectors, whole


@made(vectors, lambda: {"lin": nn.Linear(8, 8)})
def functional_dropout(self: Any, x: Tensor) -> Tensor:
    return F.dropout(self.lin(x), 0.3, self.training)


@made(pictures, lambda: {"conv": nn.Conv2d(3, 8, 1)})
def dropout_of_channels_in_place(self: Any, x: Tensor) -> Tensor:
    y = F.dropout2d(self.conv(x), 0.3, self.training, inplace=True)
    return F.dropout(y, 0.1, self.training, inplace=True)


@made(vectors, lambda: {"lin": nn.Linear(8, 8)})
def dropout_in_eval_too(self: Any, x: Tensor) -> Tensor:
    return F.dropout(self.lin(x), 0.3, True)


@made(pictures, lambda: {"conv": nn.Conv2d(3, 3, 1)})
def drop_path_by_bernoulli(self: Any, x: Tensor) -> Tensor:
    y = self.conv(x)
    if self.training:
        mask = y.new_empty((y.shape[0], 1, 1, 1)).bernoulli_(0.7)
        mask.div_(0.7)
        y = y * mask
    return x + y


@made(pictures, lambda: {"conv": nn.Conv2d(3, 3, 1)})
def drop_path_by_floor(self: Any, x: Tensor) -> Tensor:
    y = self.conv(x)
    if self.training:
        mask = (0.7 + torch.rand((y.shape[0], 1, 1, 1), dtype=y.dtype, device=y.device)).floor_()
        y = y.div(0.7) * mask
    return x + y


@made(pictures, lambda: {"conv": nn.Conv2d(3, 3, 1)})
def drop_path_by_comparison(self: Any, x: Tensor) -> Tensor:
    y = self.conv(x)
    if self.training:
        y = torch.where(torch.rand(y.shape[0], 1, 1, 1) < 0.3, torch.zeros_like(y), y / 0.7)
    return x + y


@made(vectors, lambda: {"lin": nn.Linear(8, 8)})
def gaussian_noise_while_training(self: Any, x: Tensor) -> Tensor:
    y = self.lin(x)
    return y + 0.1 * torch.randn_like(y) if self.training else y


class FrozenNorm(nn.Sequential):
    """Its batch norm stays in eval mode while the rest trains."""

    def train(self, mode: bool = True) -> FrozenNorm:
        super().train(mode)
        self[1].eval()
        return self


def frozen_batch_norm() -> nn.Module:
    return FrozenNorm(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.2))


def frozen_parameters() -> nn.Module:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 1))
    model[0].requires_grad_(False)
    return model


def batch_norm_without_statistics() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, track_running_stats=False), nn.ReLU())


def batch_norm_with_a_cumulative_average() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, momentum=None), nn.ReLU())


def batch_norm_with_its_own_constants() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, eps=1e-2, momentum=0.3, affine=False), nn.Dropout(0.1))


for build in (
    frozen_batch_norm,
    frozen_parameters,
    batch_norm_without_statistics,
    batch_norm_with_its_own_constants,
):
    whole(build, pictures)
whole(batch_norm_with_a_cumulative_average, pictures, pieces=True)


@made(pictures, lambda: {"conv": nn.Conv2d(3, 4, 3)})
def weight_standardisation_by_batch_norm(self: Any, x: Tensor) -> Tensor:
    w = self.conv.weight
    standard = F.batch_norm(w.reshape(1, 4, -1), None, None, training=True, momentum=0.0, eps=1e-5)
    return F.conv2d(x, standard.reshape_as(w), self.conv.bias)


@made(pictures, lambda: {"conv": nn.Conv2d(3, 4, 3)})
def weight_standardisation_by_hand(self: Any, x: Tensor) -> Tensor:
    w = self.conv.weight
    deviation, mean = torch.std_mean(w, dim=(1, 2, 3), keepdim=True, unbiased=False)
    return F.conv2d(x, (w - mean) / (deviation + 1e-5), self.conv.bias)


@made(vectors, lambda: {"body": nn.Linear(8, 8), "head": nn.Linear(8, 2), "auxiliary": nn.Linear(8, 2)})
def another_head_while_training(self: Any, x: Tensor) -> Any:
    y = self.body(x).relu()
    return (self.head(y), self.auxiliary(y)) if self.training else self.head(y)


@made(vectors, lambda: {"lin": nn.Linear(8, 8), "buffer:mean": torch.zeros(8)})
def a_moving_average_while_training(self: Any, x: Tensor) -> Tensor:
    y = self.lin(x)
    if self.training:
        self.mean.mul_(0.9).add_(0.1 * y.detach().mean(0))
    return y - self.mean


@made(vectors, lambda: {"lin": nn.Linear(8, 8), "norm": nn.BatchNorm1d(8)})
def a_norm_used_twice(self: Any, x: Tensor) -> Tensor:
    return self.norm(self.lin(self.norm(x)))


@made(sequences, lambda: {"lin": nn.Linear(8, 8), "keep": nn.Dropout1d(0.2)})
def dropout_of_words(self: Any, x: Tensor) -> Tensor:
    return self.keep(self.lin(x)) if self.training else self.lin(x)


@made(vectors, lambda: {"lin": nn.Linear(8, 8), "early": nn.Linear(8, 8)})
def another_layer_in_eval(self: Any, x: Tensor) -> Tensor:
    return self.lin(x) if self.training else self.early(x)
