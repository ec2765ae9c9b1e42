"""A norm whose factor begins at zero, as the last one of a residual block often does, trains and lowers."""

from __future__ import annotations

import pytest
import torch
from lowbit import lower, prepare
from lowbit.api import passes
from lowbit.compiler.recipe import parse
from torch import Tensor, nn

RECIPE = 'name = "r"\n{first}[[prepare]]\nuse = "insert_fake_quant"\nper_channel = {per_channel}\n'
SIMULATED = '[[prepare]]\nuse = "simulate_fold"\n'


class Block(nn.Module):
    """relu(x + bn(conv(x))), with a norm that gives nothing at first."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.bn = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3)
        nn.init.zeros_(self.bn.weight)

    def forward(self, x: Tensor) -> Tensor:
        return (x + self.bn(self.conv(x))).relu()


def loss_after_training(first: str, per_channel: str) -> float:
    """The loss after 40 steps towards drawn outputs; the program is lowered and agrees to half a step of the output."""
    torch.manual_seed(0)
    model, x, y = Block(), torch.randn(16, 3, 8, 8), torch.randn(16, 3, 8, 8).relu()
    ours = prepare(model, (x,), parse(RECIPE.format(first=first, per_channel=per_channel), passes()), steps=40)
    optimizer = torch.optim.Adam(ours.parameter_groups(1e-2))
    for _ in range(40):
        loss = (ours(x) - y).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        ours.step()
    with torch.no_grad():
        simulated = ours.eval()(x)
    assert torch.allclose(torch.from_numpy(lower(ours).run(x.numpy())[0]).float(), simulated, atol=0.02)
    return float(loss.detach())


@pytest.mark.parametrize("per_channel", ["true", "false"])
def test_a_norm_that_begins_at_zero_trains_as_without_the_simulation(per_channel: str) -> None:
    simulated, plain = (loss_after_training(first, per_channel) for first in (SIMULATED, ""))
    assert simulated <= 1.02 * plain
