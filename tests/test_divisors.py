"""Divisors that are taken to be never negative: where they are, calibration refuses, and verification says so."""

from __future__ import annotations

import lowbit
import pytest
import torch
from prepared import custom
from torch import Tensor, nn

RECIPE = custom('name = "one"\n[[prepare]]\nuse = "insert_fake_quant"\n')


class Over(nn.Module):
    """A sum with a small number divides; nothing in the graph says that it is positive."""

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :2] / (x[:, 2:].sin() + 1e-4)


def test_what_divides_and_is_negative_is_told() -> None:
    torch.manual_seed(0)
    positive, signed = torch.rand(8, 4) + 0.5, torch.randn(8, 4)
    ours = lowbit.prepare(Over(), (positive,), RECIPE)
    lowbit.calibrate(ours, [positive])
    assert lowbit.verify(ours, [positive]).holds
    found = lowbit.verify(ours, [signed])
    assert not found.holds
    assert sum(node.negative for node in found.nodes) == int((signed[:, 2:].sin() + 1e-4 < 0).sum())
    assert any("divisors are negative" in line for line in found.broken)
    with pytest.raises(lowbit.UserError, match="divided by is negative") as caught:
        lowbit.calibrate(ours, [signed])
    assert "test_divisors.py" in caught.value.where
