"""Sketches: small networks as a line of text, the notation of examples, tests and bug reports.

    "conv(8) bn relu [ conv(8) bn ] + relu gap linear(10)"

Words: input(c,h,w) (first; default 3,8,8), conv(channels,k=3,stride=1,groups=1,nobias), linear(n,nobias), bn,
bn(eval), relu, maxpool, avgpool, gap, flatten, dropout, id; `[ ... ] +` adds the bracketed branch to its input.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from .capture import capture
from .errors import UserError
from .graph import Graph

_WORD = re.compile(r"\[|\]|\+|(\w+)(?:\(([^)]*)\))?")


class Residual(nn.Module):
    """x + branch(x)."""

    def __init__(self, branch: nn.Module) -> None:
        super().__init__()
        self.branch = branch

    def forward(self, x: Tensor) -> Tensor:
        added: Tensor = x + self.branch(x)
        return added


def network(sketch: str, seed: int = 0) -> tuple[nn.Module, Tensor]:
    """The network of a sketch, in train mode with seeded weights and statistics, and an input batch of 2.

    Raises UserError for a word that is not known.
    """
    words = [(match[0], match[1], match[2] or "") for match in _WORD.finditer(sketch)]
    shape = [3, 8, 8]
    if words and words[0][1] == "input":
        shape = [int(size) for size in words.pop(0)[2].split(",")]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        x = torch.randn(2, *shape)
        module, _ = _sequence(iter(words), x)
        _randomize(module)
    return module.train(), x


def build(sketch: str, seed: int = 0, double: bool = True) -> Graph:
    """The captured graph of a sketch; in float64 unless told otherwise, for tight laws."""
    module, x = network(sketch, seed)
    dtype = torch.float64 if double else torch.float32
    return capture(module.to(dtype), (x.to(dtype),), verify=False)


def _sequence(words: Iterator[tuple[str, str, str]], x: Tensor) -> tuple[nn.Module, Tensor]:
    parts: list[nn.Module] = []
    for symbol, name, options in words:
        if symbol == "]":
            break
        if symbol == "+":
            parts.append(Residual(parts.pop()))
            continue
        part = _sequence(words, x)[0] if symbol == "[" else _layer(name, options.split(","), x)
        parts.append(part)
        x = part(x)
    return nn.Sequential(*parts), x


def _layer(name: str, options: list[str], x: Tensor) -> nn.Module:
    bias = "nobias" not in options
    named = dict(option.split("=") for option in options if "=" in option)
    size = next((int(option) for option in options if option.isdigit()), x.shape[1])
    match name:
        case "conv":
            k, stride, groups = (int(named.get(key, value)) for key, value in (("k", 3), ("stride", 1), ("groups", 1)))
            return nn.Conv2d(x.shape[1], size, k, stride, k // 2, groups=groups, bias=bias)
        case "linear":
            flat = nn.Flatten() if x.dim() > 2 else nn.Identity()
            return nn.Sequential(flat, nn.Linear(x[0].numel(), size, bias))
        case "bn":
            norm = nn.BatchNorm2d(x.shape[1]) if x.dim() == 4 else nn.BatchNorm1d(x.shape[1])
            return Frozen(norm) if "eval" in options else norm
        case _ if name in _SIMPLE:
            return _SIMPLE[name]()
    raise UserError(f"unknown word '{name}' in a sketch", fix=f"one of: conv, linear, bn, {', '.join(_SIMPLE)}")


_SIMPLE = {
    "relu": nn.ReLU,
    "maxpool": lambda: nn.MaxPool2d(2),
    "avgpool": lambda: nn.AvgPool2d(2),
    "gap": lambda: nn.AdaptiveAvgPool2d(1),
    "flatten": nn.Flatten,
    "dropout": nn.Dropout,
    "id": nn.Identity,
}


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


def _randomize(module: nn.Module) -> None:
    """Statistics and affine parts away from their defaults, so that forgetting one of them shows."""
    for part in module.modules():
        if isinstance(part, (nn.BatchNorm1d, nn.BatchNorm2d)):
            nn.init.normal_(part.weight, 0.0, 1.0)
            nn.init.normal_(part.bias)
            nn.init.normal_(part.running_mean)  # type: ignore[arg-type]
            nn.init.uniform_(part.running_var, 0.1, 2.0)  # type: ignore[arg-type]
            part.num_batches_tracked.zero_()  # type: ignore[union-attr]
