"""Sketches: small networks as a line of text, the notation of examples, tests and bug reports.

    "conv(8) bn relu [ conv(8) bn ] + relu gap linear(10)"

Words: input(c,h,w) (first; default 3,8,8), conv(channels,k=3,stride=1,groups=1,nobias,coarse), linear(n,nobias,coarse)
of the flattened input, mix(n) a linear over the last axis, bn(eval,noaffine,nostats,tiny,huge), relu, relu(inplace),
maxpool, avgpool, gap, flatten, view, rows, dropout, gain, id. `[ ... ] +` adds the bracketed branch to its input;
`twice` applies the part before it once more; `tied`, anywhere, lets convolutions of one shape share their weight.

coarse: weights in eighths, so that many are equal.   eval: stays in eval mode.   nostats: always the batch's own
statistics.   tiny, huge: the variances.   rows: flattened from axis 2.   gain: times a parameter.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping

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
        module, _ = _sequence((word for word in words if word[1] != "tied"), x)
    if any(name == "tied" for _, name, _ in words):
        _tie(module)
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
        if name == "twice":
            parts.append(parts[-1])
            x = parts[-1](x)
            continue
        part = _sequence(words, x)[0] if symbol == "[" else _layer(name, options.split(","), x)
        parts.append(part)
        x = part(x)
    return nn.Sequential(*parts), x


def _layer(name: str, options: list[str], x: Tensor) -> nn.Module:
    named = dict(option.split("=") for option in options if "=" in option)
    size = next((int(option) for option in options if option.isdigit()), x.shape[1])
    match name:
        case "conv":
            k, stride, groups = (int(named.get(key, value)) for key, value in (("k", 3), ("stride", 1), ("groups", 1)))
            bias = "nobias" not in options
            return _weights(nn.Conv2d(x.shape[1], size, k, stride, k // 2, groups=groups, bias=bias), options)
        case "linear":
            flat = nn.Flatten() if x.dim() > 2 else nn.Identity()
            return nn.Sequential(flat, _weights(nn.Linear(x[0].numel(), size, "nobias" not in options), options))
        case "mix":
            return _weights(nn.Linear(x.shape[-1], size), options)
        case "bn":
            return _norm(x, options)
        case "relu":
            return nn.ReLU(inplace="inplace" in options)
        case _ if name in _SIMPLE:
            return _SIMPLE[name]()
    known = ", ".join(sorted({"conv", "linear", "mix", "bn", "relu", *_SIMPLE}))
    raise UserError(f"unknown word '{name}' in a sketch", fix=f"one of: {known}")


def _weights(module: nn.Conv2d | nn.Linear, options: list[str]) -> nn.Module:
    if "coarse" in options:
        with torch.no_grad():
            module.weight.copy_((module.weight * 8).round() / 8)
    return module


def _tie(module: nn.Module) -> None:
    first: dict[torch.Size, nn.Conv2d] = {}
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            part.weight = first.setdefault(part.weight.shape, part).weight


def _norm(x: Tensor, options: list[str]) -> nn.Module:
    """Statistics and affine parts away from their defaults, so that forgetting one of them shows."""
    kind = nn.BatchNorm2d if x.dim() == 4 else nn.BatchNorm1d
    norm = kind(x.shape[1], affine="noaffine" not in options, track_running_stats="nostats" not in options)
    if norm.affine:
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
    if norm.running_mean is not None and norm.running_var is not None:
        size = 1e-9 if "tiny" in options else 1e9 if "huge" in options else 1.0
        nn.init.normal_(norm.running_mean)
        nn.init.uniform_(norm.running_var, 0.1 * size, 2.0 * size)
    return Frozen(norm) if "eval" in options else norm


_SIMPLE: Mapping[str, Callable[[], nn.Module]] = {
    "maxpool": lambda: nn.MaxPool2d(2),
    "avgpool": lambda: nn.AvgPool2d(2),
    "gap": lambda: nn.AdaptiveAvgPool2d(1),
    "flatten": nn.Flatten,
    "view": lambda: View(),
    "rows": lambda: nn.Flatten(2),
    "gain": lambda: Gain(),
    "dropout": nn.Dropout,
    "id": nn.Identity,
}


class View(nn.Module):
    """x.view(x.size(0), -1): a reshape that reads the size of the batch too."""

    def forward(self, x: Tensor) -> Tensor:
        return x.view(x.size(0), -1)


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
