"""Recurrence: the fused layers, their cells in a loop, and packed or carried state."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ..row import Given, noise
from .made import made, sequences


@made(sequences, lambda: {"net": nn.LSTM(8, 6, 2, batch_first=True, dropout=0.2, bidirectional=True)})
def lstm(self: Any, x: Tensor) -> Tensor:
    return self.net(x)[0][:, -1]


@made(sequences, lambda: {"net": nn.LSTM(8, 6, batch_first=True, proj_size=3)})
def lstm_with_a_projection_and_its_state(self: Any, x: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    y, state = self.net(x)
    return y, state


@made(sequences, lambda: {"net": nn.GRU(8, 6, 2, batch_first=True, dropout=0.2)})
def gru(self: Any, x: Tensor) -> Tensor:
    return self.net(x)[0]


@made(
    sequences,
    lambda: {"net": nn.RNN(8, 6, nonlinearity="relu", batch_first=True), "tanh": nn.RNN(6, 6, batch_first=True)},
)
def rnn(self: Any, x: Tensor) -> Tensor:
    return self.tanh(self.net(x)[0])[1]


def with_state(batch: int) -> Given:
    return (noise(batch, 5, 8),), {"hidden": noise(1, batch, 6, key=1)}


@made(lambda b: ((noise(5, b, 8).transpose(0, 1),), {}), lambda: {"net": nn.GRU(8, 6)})
def gru_over_time_first(self: Any, x: Tensor) -> Tensor:
    return self.net(x.transpose(0, 1))[0].transpose(0, 1)


@made(sequences, lambda: {"cell": nn.LSTMCell(8, 6), "out": nn.Linear(6, 2)})
def cell_in_a_loop(self: Any, x: Tensor) -> Tensor:
    h = c = x.new_zeros(x.shape[0], 6)
    outputs = []
    for step in x.unbind(1):
        h, c = self.cell(step, (h, c))
        outputs.append(self.out(h))
    return torch.stack(outputs, 1)


@made(sequences, lambda: {"cell": nn.GRUCell(8, 8), "norm": nn.BatchNorm1d(8)})
def norm_in_a_loop(self: Any, x: Tensor) -> Tensor:
    h = torch.zeros_like(x[:, 0])
    for i in range(x.shape[1]):
        h = self.norm(self.cell(x[:, i], h))
    return h


@made(sequences, lambda: {"lin": nn.Linear(8, 8)})
def running_sums(self: Any, x: Tensor) -> Tensor:
    return self.lin(x).cumsum(1) / torch.arange(1, x.shape[1] + 1, device=x.device)[:, None]
