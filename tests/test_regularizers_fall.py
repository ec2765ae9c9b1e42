"""The mean square error of weights falls to nothing where the coefficient rises, and with it what rounding changes."""

from __future__ import annotations

import lowbit
import pytest
import torch
import torch.nn.functional as F
from lowbit import Prepared
from lowbit.compiler.sketches.sketch import network
from prepared import batch

LENGTH = 300
SKETCHES = {
    "choi2018": "conv(6) bn relu conv(6) bn relu gap linear(3)",
    "choi2020": "conv(6) relu conv(6) relu gap linear(3)",
}
"""Where four of five weights are zero, few channels stand still, and norms then magnify what is left by hundreds."""


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


@pytest.mark.parametrize("name", SKETCHES)
def test_the_error_falls_below_a_millionth(name: str) -> None:
    """Under the recipe as shipped."""
    model, x = network(SKETCHES[name])
    ours = lowbit.prepare(model, (x,), name, steps=LENGTH).train()
    lowbit.calibrate(ours, [batch(SKETCHES[name])[0]])
    first = ours.penalties()["msqe_weights"]
    trained(ours, SKETCHES[name])
    assert 0 <= ours.penalties()["msqe_weights"] < 1e-6 * first
