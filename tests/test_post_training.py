"""Post-training recipes: the passes begin at the graph of eval mode."""

from __future__ import annotations

from dataclasses import replace

import lowbit
import pytest
import torch
from lowbit.api import FLOAT, passes
from lowbit.compiler.capture import capture
from lowbit.compiler.modes import evaluated
from lowbit.compiler.prepared import Prepared
from lowbit.compiler.recipe import dump, parse
from lowbit.compiler.sketches.sketch import network
from lowbit.compiler.text import text

POST = replace(FLOAT, post_training=True)
FOLDED = """
post_training = true
[[prepare]]
use = "fold_batch_norm"
[[prepare]]
use = "insert_fake_quant"
"""


@pytest.mark.parametrize("sketch", ["conv(4) bn relu dropout linear(3)", "conv(3) [ bn relu ] + gap linear(2)"])
def test_both_modes_compute_what_eval_mode_did(sketch: str) -> None:
    model, x = network(sketch)
    ours = Prepared(POST.first(capture(model, (x,))), POST)
    with torch.no_grad():
        assert torch.equal(ours.train()(x), model.eval()(x))
        assert torch.equal(ours.eval()(x), model.eval()(x))


def test_a_model_with_a_graph_for_each_mode() -> None:
    class Noisy(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.part = torch.nn.Linear(4, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y: torch.Tensor = self.part(x + torch.rand_like(x) if self.training else 2 * x)
            return y

    model, x = Noisy(), torch.randn(3, 4)
    ours = POST.first(capture(model, (x,)))
    assert ours.twin is None
    assert torch.equal(ours.module()(x)[0][0], model.eval()(x))


def test_norms_fold_before_the_grids() -> None:
    model, x = network("conv(4) bn relu conv(4,groups=4) bn relu gap linear(3)")
    ours = lowbit.prepare(model, (x,), parse(FOLDED, passes()))
    assert "batch_norm" not in text(ours.graph)
    assert text(evaluated(ours.graph)) == text(ours.graph)
    lowbit.lower(ours)


def test_round_trip() -> None:
    recipe = parse(FOLDED, passes())
    assert recipe.post_training
    assert parse(dump(recipe), passes()) == recipe
    assert "post_training" not in dump(replace(recipe, post_training=False))


def test_compile_trains_it_no_further() -> None:
    stages: list[str] = []
    data = lowbit.Data(*[torch.utils.data.TensorDataset(torch.randn(8, 3, 8, 8), torch.arange(8) % 3)] * 2)
    effort = lowbit.Effort(lowbit.Plan(epochs=1, batch_size=4), lowbit.Plan(epochs=1, batch_size=4))
    model, _ = network("conv(4) bn relu gap linear(3)")
    lowbit.compile(model, data, parse(FOLDED, passes()), effort, lambda stage, progress: stages.append(stage))
    assert "training in float" in stages
    assert not any("training under" in stage for stage in stages)
