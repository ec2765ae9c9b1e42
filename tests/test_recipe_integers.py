"""Every shipped recipe, from the float network to the file: trained, compiled by torch, lowered, written, read, run."""

from __future__ import annotations

import copy
import re
from functools import cache
from pathlib import Path
from typing import Any

import lowbit
import pytest
import torch
import torch.nn.functional as F
from lowbit import Prepared, read_recipe
from lowbit.recipes import described, shipped
from prepared import RESIDUAL, STEPS, batch, optimizer, prepared, train
from torch import Tensor

NET = RESIDUAL[0]
every_recipe = pytest.mark.parametrize("recipe", shipped())


@pytest.fixture(autouse=True)
def _fresh() -> None:
    torch._dynamo.reset()


def trained(recipe: str) -> Prepared:
    """To the end of every schedule; a recipe of a model that comes trained leaves nothing to train."""
    return copy.deepcopy(_once(recipe))


@cache
def _once(recipe: str) -> Prepared:
    return again(recipe)


def again(recipe: str) -> Prepared:
    ours = prepared(NET, recipe)
    if not ours.recipe.post_training:
        train(ours, NET, 0, STEPS, optimizer(ours))
    return ours.eval()


@every_recipe
def test_the_file_is_the_program_and_all_targets_agree(recipe: str, tmp_path: Path) -> None:
    program = lowbit.lower(trained(recipe))
    size = program.save(tmp_path / "x.lowbit")
    again = lowbit.load(tmp_path / "x.lowbit")
    assert size == (tmp_path / "x.lowbit").stat().st_size
    assert again == program
    comparisons = lowbit.check(again, *again.quantize(batch(NET, size=2)[0]))
    assert {comparison.target for comparison in comparisons} >= {"numpy", "torch"}
    assert all(comparison.equal for comparison in comparisons)


@every_recipe
def test_the_integers_are_near_the_trained_model(recipe: str) -> None:
    """Within a twentieth of the spread on average: a bias is rounded, and single codes may tip over."""
    ours, (x, _) = trained(recipe), batch(NET)
    simulated = ours(x).detach()
    (scores,) = lowbit.lower(ours).run(x)
    spread = float(simulated.max() - simulated.min())
    assert float((torch.as_tensor(scores) - simulated).abs().mean()) < 0.05 * spread


@every_recipe
def test_the_same_training_gives_the_same_bytes(recipe: str, tmp_path: Path) -> None:
    for name, train_it in (("a", trained), ("b", again)):
        lowbit.lower(train_it(recipe)).save(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def stepped(ours: Prepared, call: Any, regularization: Any, step: Any) -> dict[str, Tensor]:
    """The state after three training steps."""
    opt = optimizer(ours)
    ours.train()
    for seed in range(3):
        x, y = batch(NET, seed=seed)
        opt.zero_grad()
        (F.cross_entropy(call(x), y) + regularization()).backward()
        opt.step()
        step()
    return dict(ours.state_dict())


# Of torch itself: dynamo looks at `.grad` of any tensor that the compiled call finds and did not make.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")
@pytest.mark.parametrize("recipe", [name for name in shipped() if not read_recipe(name).post_training])
def test_torch_compiles_it_without_graph_breaks(recipe: str) -> None:
    plain = prepared(NET, recipe)
    ours = copy.deepcopy(plain)
    parts = [torch.compile(p, fullgraph=True, backend="aot_eager") for p in (ours, ours.regularization, ours.step)]
    expected = stepped(plain, plain, plain.regularization, plain.step)
    torch.testing.assert_close(stepped(ours, *parts), expected, rtol=0, atol=0)


@every_recipe
def test_the_recipe_tells_what_it_is(recipe: str) -> None:
    """Its file, its list and its page say the same: a sentence, and a paper."""
    chosen, told = read_recipe(recipe), described(recipe)
    assert chosen.name == recipe
    assert chosen.summary == f"{told.summary} ({told.paper})"
    assert re.search(r"arXiv \d{4}\.\d{5}$", told.paper)
