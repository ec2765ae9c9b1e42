"""The vocabulary of sketches: what module each word stands for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import UserError
from .spellings import spelt

_BY_RANK = ("1d", "2d", "3d")
"""Endings of the classes for inputs (batch, channels, ...) with 1, 2 and 3 axes behind; vectors take the first."""


def layer(name: str, options: list[str], x: Tensor) -> nn.Module:
    """The module of a word, fit for an input such as x. Raises UserError for a word that is not known."""
    size = next((int(option) for option in options if option.isdigit()), x.shape[1])
    match name:
        case "conv" | "tconv":
            return _convolution(name, size, options, x)
        case "linear":
            flat = nn.Flatten() if x.dim() > 2 else nn.Identity()
            return nn.Sequential(flat, _weights(nn.Linear(x[0].numel(), size, "nobias" not in options), options))
        case "mix":
            return _weights(nn.Linear(x.shape[-1], size), options)
        case "bn":
            return _norm(options, x)
        case "shuffle":
            return nn.ChannelShuffle(size)
        case "short":
            return Short(size)
        case "pixels":
            return nn.PixelShuffle(size)
        case "unpixels":
            return nn.PixelUnshuffle(size)
        case "relu":
            return nn.ReLU(inplace="inplace" in options)
        case "maxpool" | "avgpool" | "gap" | "pad":
            return _spatial(*_SPATIAL[name], x)
        case "spelt" if (module := spelt(options[0], x[0].numel())) is not None:
            return module
        case _ if name in _PLAIN:
            return _PLAIN[name]()
    known = ", ".join(sorted({*_SIZED, *_SPATIAL, *_PLAIN}))
    raise UserError(f"unknown word '{name}' in a sketch", fix=f"one of: {known}")


_SIZED = frozenset({"conv", "tconv", "linear", "mix", "bn", "shuffle", "short", "pixels", "unpixels", "relu", "spelt"})
"""Words with options of their own."""


def tie(module: nn.Module) -> None:
    """Let convolutions of one kind and shape share their weight."""
    first: dict[Any, Any] = {}
    for part in module.modules():
        if isinstance(part, nn.modules.conv._ConvNd):
            part.weight = first.setdefault((type(part), part.weight.shape), part).weight


def _named(options: list[str]) -> dict[str, str]:
    return dict(option.split("=", 1) for option in options if "=" in option)


def _ending(x: Tensor) -> str:
    return _BY_RANK[max(x.dim() - 3, 0)]


def _convolution(name: str, size: int, options: list[str], x: Tensor) -> nn.Module:
    named = _named(options)
    k, stride, groups = (int(named.get(key, value)) for key, value in (("k", 3), ("stride", 1), ("groups", 1)))
    kind = getattr(nn, ("Conv" if name == "conv" else "ConvTranspose") + _ending(x))
    padding = next((word for word in ("same", "valid") if word in options), int(named.get("pad", k // 2)))
    return _weights(kind(x.shape[1], size, k, stride, padding, groups=groups, bias="nobias" not in options), options)


@torch.no_grad()
def _weights(module: nn.Module, options: list[str]) -> nn.Module:
    """Rounds the weights or empties some rows of them, drawn among the outputs (dead) and the inputs (deaf)."""
    weight: Tensor = module.weight  # type: ignore[assignment]
    if "coarse" in options:
        weight.copy_((weight * 8).round() / 8)
    outputs = int("Transpose" in type(module).__name__)
    for word, axis in (("dead", outputs), ("deaf", 1 - outputs)):
        count = int(_named(options).get(word, 0))
        if count:
            weight.index_fill_(axis, torch.randperm(weight.shape[axis])[:count], 0)
    return module


def _norm(options: list[str], x: Tensor) -> nn.Module:
    """Statistics and affine parts away from their defaults, so that forgetting one of them shows."""
    kind, eps = getattr(nn, "BatchNorm" + _ending(x)), float(_named(options).get("eps", 1e-5))
    norm = kind(x.shape[1], eps, affine="noaffine" not in options, track_running_stats="nostats" not in options)
    if norm.affine:
        nn.init.normal_(norm.weight, std=8.0 if "large" in options else 1.0)
        nn.init.normal_(norm.bias, std=8.0 if "large" in options else 1.0)
    if norm.running_mean is not None and norm.running_var is not None:
        size = 1e-9 if "tiny" in options else 1e9 if "huge" in options else 1.0
        nn.init.normal_(norm.running_mean)
        nn.init.uniform_(norm.running_var, 0.1 * size, 2.0 * size)
    return Frozen(norm) if "eval" in options else norm


def _spatial(name: str, size: int, x: Tensor) -> nn.Module:
    module: nn.Module = getattr(nn, name + _ending(x))(size)
    return module


_SPATIAL = {"maxpool": ("MaxPool", 2), "avgpool": ("AvgPool", 2), "gap": ("AdaptiveAvgPool", 1), "pad": ("ZeroPad", 1)}


class Joined(nn.Module):
    """An input and what a branch makes of it, joined."""

    def __init__(self, branch: nn.Module) -> None:
        super().__init__()
        self.branch = branch


class Residual(Joined):
    """x + branch(x)."""

    def forward(self, x: Tensor) -> Tensor:
        added: Tensor = x + self.branch(x)
        return added


class Gated(Joined):
    """x * branch(x)."""

    def forward(self, x: Tensor) -> Tensor:
        gated: Tensor = x * self.branch(x)
        return gated


class Concatenated(Joined):
    """x and branch(x), one behind the other's channels."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.branch(x)], dim=1)


JOINS: Mapping[str, type[Joined]] = {"+": Residual, "*": Gated, "cat": Concatenated}


class View(nn.Module):
    """x.view(x.size(0), -1): a reshape that reads the size of the batch too."""

    def forward(self, x: Tensor) -> Tensor:
        return x.view(x.size(0), -1)


class Swap(nn.Module):
    """The last two axes in each other's place."""

    def forward(self, x: Tensor) -> Tensor:
        return x.transpose(-1, -2)


class Halves(nn.Module):
    """The sum of the first and the second half of the channels."""

    def forward(self, x: Tensor) -> Tensor:
        first, second = x.chunk(2, dim=1)
        return first + second


class Short(nn.Module):
    """The shortcut of option A (He et al. 2015): every second row and column, `more` channels of zeros on each side."""

    def __init__(self, more: int) -> None:
        super().__init__()
        self.more = more

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.more, self.more))


class Gain(nn.Module):
    """A parameter times x: a product with a parameter that is no weight of a convolution or linear."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(0.75))

    def forward(self, x: Tensor) -> Tensor:
        return self.gain * x


class Frozen(nn.Module):
    """A module that stays in eval mode whatever its parents do."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner.eval()

    def train(self, mode: bool = True) -> Frozen:
        return self

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.inner(x)
        return y


_PLAIN: Mapping[str, Callable[[], nn.Module]] = {
    "relu6": nn.ReLU6,
    "leaky": nn.LeakyReLU,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "hardswish": nn.Hardswish,
    "hardsigmoid": nn.Hardsigmoid,
    "silu": nn.SiLU,
    "gelu": nn.GELU,
    "softmax": lambda: nn.Softmax(1),
    "upsample": lambda: nn.Upsample(scale_factor=2),
    "flatten": nn.Flatten,
    "view": View,
    "rows": lambda: nn.Flatten(2),
    "swap": Swap,
    "halves": Halves,
    "gain": Gain,
    "dropout": nn.Dropout,
    "id": nn.Identity,
}
