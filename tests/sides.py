"""What torch.cond means: outputs and gradients of a model beside its twin, on the side that a limit selects."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from captured import tensors
from torch import Tensor, nn


def observed(module: nn.Module, x: Tensor) -> list[Tensor]:
    """Outputs and gradients; none is zeros, since torch.cond gives those to a side that was not selected."""
    module.zero_grad()
    x = x.clone().requires_grad_()
    outs = tensors(module(x * 1))
    sum((out.float() ** 2).sum() for out in outs if out.requires_grad).backward()  # type: ignore[union-attr]
    leaves = [x, *(p for _, p in sorted(module.named_parameters()))]
    return [*outs, *(torch.zeros_like(leaf) if leaf.grad is None else leaf.grad for leaf in leaves)]


def selected(condition: Any, one: Callable[..., Any], two: Callable[..., Any], operands: tuple[Tensor, ...]) -> Any:
    """What torch.cond means, as Python's own branch; torch.cond itself compiles both sides for each shape anew."""
    return one(*operands) if bool(condition) else two(*operands)


def same(model: nn.Module, ours: nn.Module, limit: float, rows: int) -> None:
    x = torch.randn(rows, 4, generator=torch.Generator().manual_seed(rows))
    for module in (model, ours):
        module.get_buffer("limit").fill_(limit)
    pair = [observed(module, x) for module in (ours, model)]
    torch.testing.assert_close(*pair)
    assert all(bool(x.isfinite().all()) for x in pair[1])
