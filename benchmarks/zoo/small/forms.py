"""Forms: how arguments come in and results go out, and blocks of code under a context."""

from __future__ import annotations

from collections import OrderedDict, namedtuple
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ..row import Given, noise
from .made import made, vectors

Pair = namedtuple("Pair", ["left", "right"])


@made(vectors, lambda: {"lin": nn.Linear(8, 8)})
def nested_outputs(self: Any, x: Tensor) -> dict[str, Any]:
    y = self.lin(x)
    return {"all": [y, (y.relu(), {"x": x})], "none": None, "size": 3, "pair": Pair(y + 1, y - 1)}


def nested(batch: int) -> Given:
    return ({"a": noise(batch, 8), "b": [noise(batch, 8, key=1), (noise(batch, 8, key=2),)]},), {}


@made(nested, lambda: {"lin": nn.Linear(8, 8)})
def nested_inputs(self: Any, given: dict[str, Any]) -> Tensor:
    return self.lin(given["a"]) + given["b"][0] * given["b"][1][0]


def keywords(batch: int) -> Given:
    return (noise(batch, 8),), {"shift": noise(batch, 8, key=1), "scale": 0.5, "flag": True, "nothing": None}


@made(keywords, lambda: {"lin": nn.Linear(8, 8)})
def keyword_arguments(
    self: Any, x: Tensor, *, shift: Tensor, scale: float = 1.0, flag: bool = False, nothing: Any = None
) -> Any:
    y = self.lin(x) * scale
    return y + shift if flag and nothing is None else y


@made(vectors, lambda: {"lin": nn.Linear(8, 8)})
def defaults_left_out(self: Any, x: Tensor, mask: Tensor | None = None, slope: float = 0.1) -> Tensor:
    y = self.lin(x) if mask is None else self.lin(x * mask)
    return torch.where(y > 0, y, slope * y)


@made(lambda b: ((noise(b, 8), noise(b, 8, key=1), noise(b, 8, key=2)), {}), lambda: {"lin": nn.Linear(8, 8)})
def any_number_of_arguments(self: Any, *xs: Tensor) -> Tensor:
    return self.lin(torch.stack(xs).sum(0))


@made(lambda b: ((), {"x": noise(b, 8), "y": noise(b, 8, key=1)}), lambda: {"lin": nn.Linear(8, 8)})
def any_keywords(self: Any, **given: Tensor) -> Tensor:
    return self.lin(given["x"]) - given["y"]


@made(lambda b: ((noise(b, 8), noise(b, 4, key=1), torch.arange(b)), {}), lambda: {"lin": nn.Linear(8, 4)})
def inputs_of_several_types(self: Any, x: Tensor, y: Tensor, indices: Tensor) -> Tensor:
    return self.lin(x)[indices.flip(0)] + y * indices[:, None]


@made(lambda b: ((noise(b, 8), noise(8, key=1)), {}), lambda: {"lin": nn.Linear(8, 8)})
def an_input_without_a_batch(self: Any, x: Tensor, shift: Tensor) -> Tensor:
    return self.lin(x) + shift


@made(lambda b: ((noise(b, 8), torch.tensor(0.5)), {}), lambda: {"lin": nn.Linear(8, 8)})
def a_scalar_input(self: Any, x: Tensor, scale: Tensor) -> Tensor:
    return self.lin(x) * scale


@made(vectors, lambda: {"lin": nn.Linear(8, 8)})
def an_input_among_the_outputs(self: Any, x: Tensor) -> OrderedDict[str, Tensor]:
    return OrderedDict(x=x, again=x, y=self.lin(x))


@made(vectors, lambda: {"lin": nn.Linear(8, 8), "out": nn.Linear(8, 8)})
def an_autocast_block(self: Any, x: Tensor) -> Tensor:
    with torch.autocast("cpu", torch.bfloat16):
        y = self.lin(x).relu()
    return self.out(y.float())


@made(vectors, lambda: {"lin": nn.Linear(8, 8), "out": nn.Linear(8, 8)})
def a_block_without_autocast(self: Any, x: Tensor) -> Tensor:
    with torch.autocast("cpu", enabled=False):
        y = self.lin(x.float())
    return self.out(y)


@made(vectors, lambda: {"lin": nn.Linear(8, 8), "teacher": nn.Linear(8, 8)})
def a_block_without_gradient(self: Any, x: Tensor) -> Tensor:
    with torch.no_grad():
        target = self.teacher(x).softmax(1)
    return self.lin(x) * target


@torch.no_grad()
def _scale(x: Tensor) -> Tensor:
    return x.abs().amax(1, keepdim=True) + 1


@made(vectors, lambda: {"lin": nn.Linear(8, 8)})
def a_function_without_gradient(self: Any, x: Tensor) -> Tensor:
    y = self.lin(x)
    return y / _scale(y)


@made(vectors, lambda: {"lin": nn.Linear(8, 8), "norm": nn.BatchNorm1d(8)})
def a_norm_without_gradient(self: Any, x: Tensor) -> Tensor:
    with torch.no_grad():
        y = self.norm(x)
    return self.lin(y)


@made(vectors, lambda: {"body": nn.Sequential(nn.Linear(8, 8), nn.Dropout(0.2), nn.ReLU()), "out": nn.Linear(8, 8)})
def an_activation_checkpoint(self: Any, x: Tensor) -> Tensor:
    return self.out(checkpoint(self.body, x, use_reentrant=False))


@made(vectors, lambda: {"lin": nn.Linear(8, 8)})
def straight_through(self: Any, x: Tensor) -> Tensor:
    y = self.lin(x)
    return y + (y.round() - y).detach()


@made(vectors, lambda: {"experts": nn.ModuleList(nn.Linear(8, 8) for _ in range(3)), "gate": nn.Linear(8, 3)})
def a_soft_mixture_of_experts(self: Any, x: Tensor) -> Tensor:
    y = self.gate(x).softmax(1)
    return sum(y[:, i : i + 1] * expert(x) for i, expert in enumerate(self.experts))
