"""What the word `spelt` of sketches spells out: calls that do nothing, and activations in pieces."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

NEUTRAL: Mapping[str, Callable[[Tensor], Tensor]] = {
    "clone": torch.clone,
    "ordered clone": lambda x: x.clone(memory_format=torch.contiguous_format),
    "cast": lambda x: x.to(x.dtype),
    "cast twice": lambda x: x.to(x.dtype).to(x.dtype),
    "cast codes": lambda x: x * (x > 0).to(torch.int64).to(torch.int64),
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
    "read twice": lambda x: (lambda y: y.flatten(1).unsqueeze(1) + y.unsqueeze(1))(x.flatten(1)),
}
"""Values that stay what they are, and calls that look as if they did."""


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
    return Spelt(NEUTRAL[name]) if name in NEUTRAL else None
