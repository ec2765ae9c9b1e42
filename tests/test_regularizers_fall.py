"""The mean square error of weights falls to nothing where the coefficient rises, and with it what rounding changes."""

from __future__ import annotations

import lowbit
import pytest
import torch
import torch.nn.functional as F
from lowbit import Prepared
from lowbit.api import read_recipe
from lowbit.compiler.settings import override
from lowbit.compiler.sketches.sketch import network
from prepared import batch

LENGTH = 300
NORMS, PLAIN = "conv(6) bn relu conv(6) bn relu gap linear(3)", "conv(6) relu conv(6) relu gap linear(3)"
RISING = (
    'attach_msqe.coefficient="scheduled"',
    'attach_msqe.schedule="exponential"',
    "attach_msqe.final=1e8",
    "attach_msqe.begin=0.5",
    "attach_msqe.end=0.75",
    "simulate_fold.freeze_statistics=0.5",
)
"""What `choi2018` says, for `choi2020`."""
LOGARITHM = (
    'attach_msqe.coefficient="log"',
    "attach_msqe.final=1.0",
    "attach_msqe.limit=1e9",
    "attach_msqe.begin=0.5",
    "attach_msqe.end=0.75",
)
"""For a network without norms: where a channel of few weights stands still, its norm magnifies them by hundreds."""
CASES = [("choi2018", (), NORMS), ("choi2020", RISING, NORMS), ("choi2020", LOGARITHM, PLAIN)]


def trained(ours: Prepared, sketch: str) -> None:
    optimizer = torch.optim.Adam(ours.parameter_groups(lr=1e-3))
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, LENGTH)
    for step in range(LENGTH):
        x, y = batch(sketch, seed=step % 8)
        optimizer.zero_grad()
        (F.cross_entropy(ours(x), y) + ours.regularization()).backward()
        optimizer.step()
        ours.step()
        cosine.step()


@pytest.mark.parametrize(("name", "options", "sketch"), CASES)
def test_the_error_falls_below_a_millionth(name: str, options: tuple[str, ...], sketch: str) -> None:
    model, x = network(sketch)
    ours = lowbit.prepare(model, (x,), override(read_recipe(name), options), steps=LENGTH).train()
    lowbit.calibrate(ours, [batch(sketch)[0]])
    first = ours.penalties()["msqe_weights"]
    trained(ours, sketch)
    assert 0 <= ours.penalties()["msqe_weights"] < 1e-6 * first
