"""State: shared and hidden parameters, buffers that change, parametrizations, hooks, and types."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations, prune

from ..row import Given, noise
from .made import made, pictures, vectors, whole, words


class TiedWeights(nn.Module):
    """A language model in small: the embedding is the head."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.head = nn.Embedding(50, 8), nn.Linear(8, 50, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.head(self.embedding(x).relu())
        return y


def tied_weights() -> nn.Module:
    return TiedWeights()


whole(tied_weights, words)


@made(vectors, lambda: {"part": nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8), nn.ReLU(inplace=True))})
def a_module_used_twice(self: Any, x: Tensor) -> Tensor:
    return self.part(self.part(x)) + x


def _shared() -> dict[str, Any]:
    one = nn.Linear(8, 8)
    return {"first": one, "second": nn.Sequential(one, nn.ReLU())}


@made(vectors, _shared)
def a_module_with_two_names(self: Any, x: Tensor) -> Tensor:
    return self.second(self.first(x))


@made(vectors, lambda: {"used": nn.Linear(8, 8), "unused": nn.Linear(8, 8), "buffer:idle": torch.ones(3)})
def unused_parameters(self: Any, x: Tensor) -> Tensor:
    return self.used(x)


@made(
    vectors,
    lambda: {"scale": nn.Parameter(torch.ones(())), "table": nn.ParameterList([torch.randn(8), torch.randn(8)])},
)
def parameters_without_a_module(self: Any, x: Tensor) -> Tensor:
    return x * self.scale * self.table[0] + self.table[1]


@made(vectors, lambda: {"layers": nn.ModuleDict({"a.b".replace(".", "_"): nn.Linear(8, 8), "0": nn.Linear(8, 8)})})
def modules_in_a_dictionary(self: Any, x: Tensor) -> Tensor:
    for name in sorted(self.layers):
        x = self.layers[name](x)
    return x


@made(vectors, lambda: {"lin": nn.Linear(8, 8), "buffer:calls": torch.tensor(0), "buffer:last": torch.zeros(8)})
def buffers_changed_in_every_mode(self: Any, x: Tensor) -> Tensor:
    self.calls += 1
    self.last.copy_(x.detach().mean(0))
    return self.lin(x) + self.last


@made(vectors, lambda: {"lin": nn.Linear(8, 8), "buffer:state": torch.zeros(8)})
def a_buffer_assigned(self: Any, x: Tensor) -> Tensor:
    y = self.lin(x)
    self.state = (0.5 * self.state + 0.5 * y.mean(0)).detach()
    return y + self.state


@made(vectors, lambda: {"lin": nn.Linear(8, 8), "transient:shift": torch.randn(8)})
def a_buffer_that_is_not_saved(self: Any, x: Tensor) -> Tensor:
    return self.lin(x) + self.shift


@made(vectors, lambda: {"lin": nn.Linear(8, 3), "weights": torch.tensor([1.0, 2.0, 3.0])})
def a_tensor_attribute(self: Any, x: Tensor) -> Tensor:
    return self.lin(x) * self.weights


@made(vectors, lambda: {"lin": nn.Linear(8, 3)})
def a_tensor_constant_in_the_forward(self: Any, x: Tensor) -> Tensor:
    return self.lin(x) * torch.tensor([1.0, 2.0, 3.0]) + torch.tensor(2)


def spectral_norm() -> nn.Module:
    return nn.Sequential(parametrizations.spectral_norm(nn.Linear(8, 8)), nn.ReLU(), nn.Linear(8, 4))


def weight_norm() -> nn.Module:
    return nn.Sequential(parametrizations.weight_norm(nn.Linear(8, 8)), nn.ReLU(), nn.Linear(8, 4))


def orthogonal_weights() -> nn.Module:
    return nn.Sequential(parametrizations.orthogonal(nn.Linear(8, 8)), nn.ReLU())


class Symmetric(nn.Module):
    def forward(self, w: Tensor) -> Tensor:
        return w.triu() + w.triu(1).transpose(-1, -2)


def a_parametrization_of_the_users_own() -> nn.Module:
    layer = nn.Linear(8, 8)
    nn.utils.parametrize.register_parametrization(layer, "weight", Symmetric())
    return nn.Sequential(layer, nn.Tanh())


def pruned_by_torch() -> nn.Module:
    layer = nn.Linear(8, 8)
    prune.l1_unstructured(layer, "weight", 0.5)
    return nn.Sequential(layer, nn.ReLU())


def a_forward_hook() -> nn.Module:
    model = nn.Sequential(nn.Linear(8, 8), nn.ReLU())
    model[0].register_forward_hook(lambda module, args, out: out * 2 + args[0])
    model[1].register_forward_pre_hook(lambda module, args: (args[0] - 0.1,))
    return model


def doubles() -> nn.Module:
    return nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8), nn.ReLU()).double()


def half_precision() -> nn.Module:
    return nn.Sequential(nn.Linear(8, 8), nn.LayerNorm(8), nn.ReLU(), nn.Linear(8, 4)).bfloat16()


def channels_last() -> nn.Module:
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 4, 3))
    return model.to(memory_format=torch.channels_last)


for build in (
    spectral_norm,
    weight_norm,
    orthogonal_weights,
    a_parametrization_of_the_users_own,
    pruned_by_torch,
    a_forward_hook,
):
    whole(build)
whole(channels_last, pictures)


def of_doubles(batch: int) -> Given:
    return (noise(batch, 8).double(),), {}


def of_half_precision(batch: int) -> Given:
    return (noise(batch, 8).bfloat16(),), {}


whole(doubles, of_doubles)
whole(half_precision, of_half_precision)


@made(vectors, lambda: {"low": nn.Linear(8, 8).bfloat16(), "high": nn.Linear(8, 8), "fine": nn.Linear(8, 2).double()})
def several_types(self: Any, x: Tensor) -> tuple[Tensor, Tensor]:
    y = self.low(x.to(torch.bfloat16)).float() + self.high(x)
    return self.fine(y.double()), (y > 0).to(torch.uint8)


@made(
    vectors, lambda: {"real": nn.Parameter(torch.randn(5)), "turn": nn.Parameter(torch.randn(5, dtype=torch.complex64))}
)
def complex_numbers(self: Any, x: Tensor) -> Tensor:
    return torch.fft.irfft(torch.fft.rfft(x) * self.turn * self.real, n=8)


@made(vectors, lambda: {"lin": nn.Linear(8, 8)})
def a_weight_of_which_a_part_is_read(self: Any, x: Tensor) -> Tensor:
    return F.linear(x[:, :4], self.lin.weight[2:6, :4], self.lin.bias[2:6])
