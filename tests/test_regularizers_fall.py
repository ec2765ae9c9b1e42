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
SKETCHES = {
    "choi2018": "conv(6) bn relu conv(6) bn relu gap linear(3)",
    "choi2020": "conv(6) relu conv(6) relu gap linear(3)",
}
"""Where four of five weights are zero, few channels stand still, and norms then magnify what is left by hundreds."""
LOGARITHM = (
    'attach_msqe.coefficient="log"',
    "attach_msqe.final=1.0",
    "attach_msqe.limit=1e9",
    "attach_msqe.begin=0.5",
    "attach_msqe.end=0.75",
)
OPTIONS = {"choi2018": (), "choi2020": LOGARITHM}
"""A coefficient that is trained comes there in as many more steps as it has orders of magnitude to cross."""


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
    model, x = network(SKETCHES[name])
    ours = lowbit.prepare(model, (x,), override(read_recipe(name), OPTIONS[name]), steps=LENGTH).train()
    lowbit.calibrate(ours, [batch(SKETCHES[name])[0]])
    first = ours.penalties()["msqe_weights"]
    trained(ours, SKETCHES[name])
    assert 0 <= ours.penalties()["msqe_weights"] < 1e-6 * first
