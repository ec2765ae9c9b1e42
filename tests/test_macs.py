"""Multiply-accumulates: closed forms by hand, and torch's own counter as a second opinion."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from lowbit.compiler.capture import capture
from lowbit.compiler.inspection.macs import macs
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode


class Applied(nn.Module):
    """A function of one input and some weights, as a module."""

    def __init__(self, function: Callable[..., Any], *weights: tuple[int, ...]) -> None:
        super().__init__()
        self.function, self.names = function, [f"w{i}" for i in range(len(weights))]
        for name, shape in zip(self.names, weights, strict=True):
            self.register_parameter(name, nn.Parameter(torch.randn(shape)))

    def forward(self, x: Tensor) -> Any:
        return self.function(x, *(getattr(self, name) for name in self.names))


def counted(model: nn.Module, *sizes: int) -> int:
    return sum(macs(capture(model, (torch.randn(2, *sizes),), verify=False)).values())


CLOSED: tuple[tuple[nn.Module, tuple[int, ...], int], ...] = (
    (nn.Linear(5, 7), (5,), 5 * 7),
    (nn.Linear(5, 7), (3, 4, 5), 3 * 4 * 5 * 7),
    (nn.Conv1d(3, 8, 5), (3, 20), 8 * 16 * 3 * 5),
    (nn.Conv2d(3, 8, 3, padding=1), (3, 10, 12), 8 * 10 * 12 * 3 * 9),
    (nn.Conv2d(3, 8, 3, padding="same"), (3, 10, 12), 8 * 10 * 12 * 3 * 9),
    (nn.Conv2d(8, 16, 3, stride=2, groups=4), (8, 9, 9), 16 * 4 * 4 * 2 * 9),
    (nn.Conv2d(8, 8, 3, groups=8, dilation=2, bias=False), (8, 9, 9), 8 * 5 * 5 * 9),
    (nn.Conv3d(2, 4, 2), (2, 5, 5, 5), 4 * 4**3 * 2 * 2**3),
    (nn.ConvTranspose1d(4, 6, 3, stride=2), (4, 5), 4 * 5 * 6 * 3),
    (nn.ConvTranspose2d(4, 6, 3, stride=2, groups=2), (4, 5, 5), 4 * 5 * 5 * 3 * 9),
    (nn.LSTM(6, 10, batch_first=True), (7, 6), 7 * 4 * 10 * (6 + 10)),
    (nn.LSTM(6, 10, batch_first=True, proj_size=3), (7, 6), 7 * (4 * 10 * (6 + 3) + 3 * 10)),
    (
        nn.GRU(6, 10, num_layers=2, bidirectional=True, batch_first=True),
        (7, 6),
        7 * 2 * 3 * 10 * (6 + 10) + 7 * 2 * 3 * 10 * (20 + 10),
    ),
    (nn.GRUCell(6, 10), (6,), 3 * 10 * (6 + 10)),
    (Applied(lambda x: F.scaled_dot_product_attention(x, x[..., :5, :], x[..., :5, :3])), (4, 9, 8), 4 * 9 * 5 * 11),
    (Applied(lambda x: x @ x.transpose(-1, -2)), (4, 9, 8), 4 * 9 * 9 * 8),
    (Applied(lambda x, w: torch.addmm(x, x, w), (6, 6)), (6,), 6 * 6),
    (Applied(lambda x, w: torch.tensordot(x, w, dims=2), (3, 4, 5)), (3, 4), 3 * 4 * 5),
    (Applied(lambda x, w: x.relu() * w.sum(), (6, 6)), (6,), 0),
)


@pytest.mark.parametrize(("model", "sizes", "expected"), CLOSED, ids=str)
def test_closed_forms(model: nn.Module, sizes: tuple[int, ...], expected: int) -> None:
    assert counted(model, *sizes) == expected


EINSUMS: tuple[tuple[str, tuple[int, ...], tuple[tuple[int, ...], ...], int], ...] = (
    ("nlhd,hde->nle", (5, 3, 4), ((3, 4, 6),), 5 * 3 * 4 * 6),
    ("nld,ed", (5, 4), ((6, 4),), 5 * 4 * 6),
    ("n...d,de->n...e", (2, 5, 4), ((4, 6),), 2 * 5 * 4 * 6),
    ("...d,...d->...", (5, 4), ((5, 4),), 5 * 4),
    ("nld,de,ef->nlf", (5, 4), ((4, 6), (6, 7)), 5 * 4 * 6 + 5 * 6 * 7),
    ("nld,e->ne", (5, 4), ((6,),), 6),
    ("nld->nd", (5, 4), (), 0),
)


@pytest.mark.parametrize(("equation", "x", "weights", "expected"), EINSUMS)
def test_einsum(equation: str, x: tuple[int, ...], weights: tuple[tuple[int, ...], ...], expected: int) -> None:
    assert counted(Applied(lambda *operands: torch.einsum(equation, *operands), *weights), *x) == expected


def test_a_fixed_batch_is_shared_out() -> None:
    graph = capture(nn.Linear(5, 7), (torch.randn(4, 5),), verify=False)
    (node,) = macs(graph)
    graph.inputs[0].meta["val"], node.meta["val"] = torch.empty(4, 5), torch.empty(4, 7)
    assert sum(macs(graph).values()) == 5 * 7


class Mixed(nn.Module):
    """Convolutions, attention and linears, the batch merged with other axes in between."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 4, stride=4)
        self.layer = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True, dropout=0.0)
        self.head = nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.stem(x).flatten(2).transpose(1, 2)
        scores: Tensor = self.head(self.layer(tokens).mean(1))
        return scores


def test_torch_counts_as_many() -> None:
    """Its counter counts two operations for each, and here attention by its matrix products."""
    model, x = Mixed(), torch.randn(1, 3, 16, 16)
    with FlopCounterMode(display=False) as counter, torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        model(x)
    assert counter.get_total_flops() == 2 * counted(model, 3, 16, 16)
    assert counter.get_total_flops() > math.prod((2, 16, 16, 16))
