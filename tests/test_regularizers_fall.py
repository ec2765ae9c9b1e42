"""The mean square error of weights falls to nothing: where its coefficient rises, and where weights settle."""

from __future__ import annotations

import lowbit
import pytest
import torch
import torch.nn.functional as F
from lowbit import Prepared
from lowbit.compiler.sketches.sketch import network
from prepared import batch

LENGTH = 300
SKETCH = "conv(6) bn relu conv(6) bn relu gap linear(3)"


def trained(ours: Prepared) -> None:
    optimizer = torch.optim.Adam(ours.parameter_groups(lr=1e-3))
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, LENGTH)
    for step in range(LENGTH):
        x, y = batch(SKETCH, seed=step % 8)
        optimizer.zero_grad()
        (F.cross_entropy(ours(x), y) + ours.regularization()).backward()
        optimizer.step()
        ours.step()
        cosine.step()


@pytest.mark.parametrize("name", ["choi2018", "choi2020"])
def test_the_error_falls_below_a_millionth(name: str) -> None:
    model, x = network(SKETCH)
    ours = lowbit.prepare(model, (x,), name, steps=LENGTH).train()
    lowbit.calibrate(ours, [batch(SKETCH)[0]])
    first = ours.penalties()["msqe_weights"]
    trained(ours)
    assert 0 <= ours.penalties()["msqe_weights"] < 1e-6 * first
