"""Models that the contract of a module is probed on, each beside its captured twin, and how results are compared."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import lowbit
import torch
import torch.nn.functional as F
from lowbit.api import FLOAT as PLAIN
from lowbit.compiler.capture import capture
from lowbit.compiler.prepared import Prepared
from torch import Tensor, nn
from torch.utils import _pytree as pytree


class Residual(nn.Module):
    """Norms with and without parameters, dropout, and what the forward never reads."""

    def __init__(self, spare: bool = True) -> None:
        """spare: with what has no integer form, or no use."""
        super().__init__()
        self.before = nn.Sequential(nn.BatchNorm2d(3, affine=False) if spare else nn.Identity(), nn.Identity())
        self.stem, self.norm = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8)
        if spare:
            self.unused = nn.Linear(2, 2)
            self.register_buffer("spare", torch.ones(3))
        self.conv, self.bn = nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.drop, self.head = nn.Dropout(0.2), nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm(self.stem(self.before(x))))
        x = F.relu(x + self.bn(self.conv(x)))
        y: Tensor = self.head(self.drop(x.mean((2, 3))))
        return y


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(6, 8, 2, batch_first=True, dropout=0.3)
        self.gru, self.head = nn.GRU(8, 8, batch_first=True), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y, (h, _) = self.lstm(x)
        return self.head(self.gru(y)[0][:, -1]), h


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, dropout=0.1, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = x + self.attention(x, x, x, need_weights=False)[0]
        return y


class Positions(nn.Module):
    """Makes tensors of its own, on the device of its input, and has a constant."""

    def __init__(self) -> None:
        super().__init__()
        self.lin = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        ramp = torch.arange(x.shape[1], device=x.device) * torch.tensor([1.0, 2.0, 3.0, 4.0], device=x.device)
        y: Tensor = self.lin(x) + ramp + torch.zeros(x.shape[0], 1, device=x.device)
        return y


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.mix = nn.Embedding(11, 8), nn.Linear(8, 8)
        self.out = nn.Linear(8, 11, bias=False)
        self.out.weight = self.embed.weight

    def forward(self, tokens: Tensor) -> Tensor:
        y: Tensor = self.out(torch.tanh(self.mix(self.embed(tokens))).mean(1))
        return y


class Named(nn.Module):
    """Keyword arguments, one of them no tensor, and a nested result with None in it."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 3)

    def forward(self, x: Tensor, *, y: Tensor, gain: float = 1.0) -> dict[str, Any]:
        return {"scaled": self.a(x) * gain, "rest": (self.b(y), None)}


def _encoder() -> nn.Module:
    layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.1, batch_first=True)
    return nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)


def _drawn(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


@dataclass(frozen=True)
class Case:
    make: Callable[[], nn.Module]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]


CASES = {
    "residual": Case(Residual, (_drawn(4, 3, 6, 6),), {}),
    "recurrent": Case(Recurrent, (_drawn(4, 5, 6),), {}),
    "attention": Case(Attention, (_drawn(4, 5, 8),), {}),
    "encoder": Case(_encoder, (_drawn(4, 5, 8),), {}),
    "positions": Case(Positions, (_drawn(4, 4),), {}),
    "tied": Case(Tied, (torch.arange(24).reshape(4, 6) % 11,), {}),
    "named": Case(Named, (_drawn(4, 4),), {"y": _drawn(4, 4).sin(), "gain": 0.5}),
}


@dataclass(frozen=True)
class Pair:
    """A module and its captured twin, of equal and independent parameters, and the arguments of a forward."""

    plain: nn.Module
    ours: Prepared
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]

    def __iter__(self) -> Any:
        return iter((self.plain, self.ours))


@cache
def _pair(name: str) -> Pair:
    case = CASES[name]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = case.make()
    return Pair(module, Prepared(capture(copy.deepcopy(module), case.args, case.kwargs), PLAIN), case.args, case.kwargs)


def pair(name: str) -> Pair:
    """A fresh one."""
    known = _pair(name)
    return Pair(copy.deepcopy(known.plain), copy.deepcopy(known.ours), known.args, known.kwargs)


@cache
def _quantized() -> Prepared:
    torch.manual_seed(0)
    return lowbit.prepare(Residual(spare=False), CASES["residual"].args, "choi2020", steps=10)


def quantized() -> Prepared:
    """A fresh residual network under a recipe with grids, masks, a schedule and penalties."""
    return copy.deepcopy(_quantized())


def same(ours: Any, theirs: Any) -> bool:
    """Whether two results are equal in structure, bit for bit."""
    (a, structure), (b, other) = pytree.tree_flatten(ours), pytree.tree_flatten(theirs)
    return structure == other and all(
        x.dtype == y.dtype and torch.equal(x, y) if isinstance(x, Tensor) else x == y for x, y in zip(a, b, strict=True)
    )


def loss(result: Any) -> Tensor:
    """A scalar that every tensor of a result is in."""
    return torch.stack([x.float().square().mean() for x in pytree.tree_leaves(result) if isinstance(x, Tensor)]).sum()


def gradients(module: nn.Module) -> dict[str, Tensor]:
    return {name: p.grad.clone() for name, p in module.named_parameters() if p.grad is not None}


def seeded(call: Callable[..., Any], args: Any, kwargs: Mapping[str, Any], seed: int = 0) -> Any:
    """The call's result, with the same draws of dropout every time."""
    torch.manual_seed(seed)
    return call(*args, **kwargs)
