"""What the word `spelt` of sketches spells out: calls that do nothing, and activations in pieces."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def _thrice(x: Tensor) -> Tensor:
    """Its third gradient arrives first where y is x itself, and last where y is a copy."""
    y = x * 1
    early = x.sin() + x.cos()
    return early + y.tanh()


NEUTRAL: Mapping[str, Callable[[Tensor], Tensor]] = {
    "clone": torch.clone,
    "ordered clone": lambda x: x.clone(memory_format=torch.contiguous_format),
    "cast": lambda x: x.to(x.dtype),
    "cast twice": lambda x: x.to(x.dtype).to(x.dtype),
    "cast codes": lambda x: x * (x > 0).to(torch.int64).to(torch.int64).bitwise_not(),
    "detach": lambda x: x * x.detach(),
    "detach twice": lambda x: x * x.detach().detach(),
    "times one": lambda x: x * 1,
    "over one": lambda x: x / 1,
    "plus zero": lambda x: x + 0,
    "minus zero": lambda x: x - 0,
    "plus zero codes": lambda x: x * ((x > 0).to(torch.int64) + 0),
    "whole": lambda x: x[:, 0:],
    "expand": lambda x: x.expand(-1, *x.shape[1:]),
    "alias": torch.ops.aten.alias.default,
    "first": lambda x: x[:, :1],
    "column": lambda x: x.unsqueeze(1).unsqueeze(-1).squeeze(1),
    "squeeze": lambda x: x.unsqueeze(1).squeeze(),
    "turned": lambda x: x.transpose(1, 2).reshape(x.shape[0], -1).view(-1, *x.shape[1:]),
    "elu in place": lambda x: F.elu(x.clone().flatten(1), inplace=True),
    "idle dropout": lambda x: F.dropout(x, 0.0),
    "steps": lambda x: x[..., ::2],
    "gram": lambda x: (x.flatten(1) @ x.flatten(1).t()).unsqueeze(1),
    "swapped column": lambda x: x.transpose(1, 2).unsqueeze(1),
    "read thrice": _thrice,
    "read twice": lambda x: (lambda y: y.flatten(1).unsqueeze(1) + y.unsqueeze(1))(x.flatten(1)),
}
"""Values that stay what they are, and calls that look as if they did."""


def _exponentials(x: Tensor, dim: int | tuple[int, ...] = 1) -> Tensor:
    odds = x.exp()
    return odds / odds.sum(dim, keepdim=True)


def _twice(x: Tensor, gate: Tensor) -> Tensor:
    return x * gate + gate


def _normalized(x: Tensor) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    return centred * torch.rsqrt(centred.square().mean(-1, keepdim=True) + 1e-5)


def _attending(q: Tensor, **more: object) -> Tensor:
    """To what is before it, turned around, of one head."""
    return F.scaled_dot_product_attention(q, q.flip(-2), q * 2, **more)  # type: ignore[arg-type]


ATTENTIONS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "attention": _attending,
    "causal attention": lambda x: _attending(x, is_causal=True, scale=0.3),
    "masked attention": lambda x: _attending(x, attn_mask=torch.ones(x.shape[-2], x.shape[-2]).triu(-1).bool()),
    "biased attention": lambda x: _attending(x, attn_mask=torch.linspace(-1, 1, x.shape[-2]).to(x).expand(1, -1)),
    "hiding attention": lambda x: _attending(x, attn_mask=torch.ones(x.shape[-2], x.shape[-2]).to(x).tril(1).log()),
    "shared heads": lambda x: F.scaled_dot_product_attention(x, x[:, ::2], x[:, 1::2], enable_gqa=True),
    "attention over samples": lambda x: _attending(x.flatten(1).t()),
}
"""Attention in one call."""
PIECES: Mapping[str, Callable[[Tensor], Tensor]] = {
    "relu clamp_min": lambda x: x.clamp_min(0),
    "relu clamp": lambda x: x.clamp(min=0),
    "relu threshold": lambda x: F.threshold(x, 0.0, 0.0),
    "relu maximum": lambda x: torch.maximum(torch.zeros_like(x), x),
    "relu max": lambda x: torch.max(x, torch.tensor(0.0, dtype=x.dtype)),
    "relu where": lambda x: torch.where(x > 0, x, torch.zeros_like(x)),
    "relu where number": lambda x: torch.where(x <= 0, 0.0, x),
    "relu mask": lambda x: (x > 0) * x,
    "relu cast mask": lambda x: x * (x > 0).to(x.dtype),
    "relu6": F.relu6,
    "relu6 clamp": lambda x: x.clamp(0, 6),
    "relu6 max": lambda x: F.relu(x).clamp(max=6),
    "relu6 clamp_max": lambda x: F.relu(x).clamp_max(6.0),
    "relu6 min": lambda x: torch.min(torch.max(x, torch.zeros_like(x)), torch.tensor(6.0, dtype=x.dtype)),
    "leaky where": lambda x: torch.where(x >= 0, x, 0.25 * x),
    "leaky where below": lambda x: torch.where(x < 0, x * 1.5, x),
    "leaky maximum": lambda x: torch.maximum(x * 0.1, x),
    "steep maximum": lambda x: torch.maximum(x * 1.5, x),
    "softplus": lambda x: torch.log(1 + torch.exp(x)),
    "softplus log1p": lambda x: torch.log1p(torch.exp(x)),
    "sigmoid": lambda x: torch.reciprocal(1 + torch.exp(-x)),
    "silu": lambda x: x * torch.sigmoid(x),
    "silu quotient": lambda x: x / (1 + torch.exp(-x)),
    "mish": lambda x: x * torch.tanh(F.softplus(x)),
    "mish logarithm": lambda x: torch.tanh(torch.log(torch.exp(x) + 1)) * x,
    "hardsigmoid": lambda x: F.relu6(x + 3) / 6,
    "hardsigmoid clamp": lambda x: torch.clamp(x / 6 + 0.5, 0, 1),
    "hardswish": lambda x: x * F.relu6(x + 3) / 6,
    "hardswish factor": lambda x: x * ((x + 3).clamp(0, 6) * (1 / 6)),
    "gelu": lambda x: 0.5 * x * (1 + torch.erf(x / math.sqrt(2))),
    "gelu half": lambda x: x * (torch.erf(x * 0.7071067811865476) + 1.0) / 2,
    "gelu tanh": lambda x: 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    "gelu tanh product": lambda x: 0.5 * x * (1 + torch.tanh(x * 0.7978845608 * (1 + 0.044715 * x * x))),
    "softmax": _exponentials,
    "softmax shifted": lambda x: _exponentials(x - x.max(1, keepdim=True).values),
    "softmax detached": lambda x: _exponentials(x - x.amax(-1, keepdim=True).detach(), -1),
    "softmax of two axes": lambda x: _exponentials(x, (1, 2)),
    "layer norm": lambda x: (x - x.mean(-1, keepdim=True)) / torch.sqrt(x.var(-1, False, keepdim=True) + 1e-5),
    "layer norm squares": _normalized,
    "silu of a shared sigmoid": lambda x: _twice(x, torch.sigmoid(x)),
    "wider maximum": lambda x: torch.maximum(x.narrow(1, 0, 1), torch.zeros_like(x)),
}
"""Activations in pieces, and what only looks like one."""


class Spelt(nn.Module):
    """What a function without parameters makes of x."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


class Product(nn.Module):
    """What a function makes of x flattened, a weight (3, features) and a bias (3,)."""

    def __init__(self, function: Callable[[Tensor, Tensor, Tensor], Tensor], features: int) -> None:
        super().__init__()
        self.function = function
        self.weight, self.bias = nn.Parameter(torch.randn(3, features)), nn.Parameter(torch.randn(3))

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x.flatten(1), self.weight, self.bias)


PRODUCTS: Mapping[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "matmul": lambda x, w, b: x @ w.t(),
    "mm": lambda x, w, b: torch.mm(x, w.permute(1, 0)),
    "matmul swapped": lambda x, w, b: x @ w.transpose(-1, -2),
    "matmul of a row": lambda x, w, b: x[:, :3] @ b.t(),
    "matmul of a weight read thrice": lambda x, w, b: x @ w.t() * w.sum() * w.mean(),
    "addmm": lambda x, w, b: torch.addmm(b, x, w.t()),
    "addmm scaled": lambda x, w, b: torch.addmm(b, x, w.t(), beta=0.5),
}
"""Linear layers as products of matrices, and what is none."""


def spelt(name: str, features: int) -> nn.Module | None:
    """The module of that name, for inputs of so many features a sample; None if there is none."""
    if name in PRODUCTS:
        return Product(PRODUCTS[name], features)
    function = NEUTRAL.get(name) or PIECES.get(name) or ATTENTIONS.get(name)
    return Spelt(function) if function else None
