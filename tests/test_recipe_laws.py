"""Every recipe that trains, on residual networks with batch norm: trained, copied, resumed and lowered."""

from __future__ import annotations

import copy
from itertools import chain

import pytest
import torch
from lowbit import Prepared, lower, read_recipe
from lowbit.compiler.sketches.sketch import network
from lowbit.recipes import shipped
from prepared import STEPS, batch, optimizer, pairs, prepared, train

TRAINED = [name for name in shipped() if not read_recipe(name).post_training]
every_pair = pytest.mark.parametrize(("sketch", "recipe"), pairs(TRAINED))


def trained(sketch: str, recipe: str, steps: int = 3) -> Prepared:
    ours = prepared(sketch, recipe)
    train(ours, sketch, 0, steps, optimizer(ours))
    return ours.eval()


def equal(ours: Prepared, theirs: Prepared) -> None:
    torch.testing.assert_close(dict(ours.state_dict()), dict(theirs.state_dict()), rtol=0, atol=0)


@every_pair
def test_a_copy_trains_as_the_original(sketch: str, recipe: str) -> None:
    ours = prepared(sketch, recipe)
    ours(batch(sketch)[0])  # penalties measured by a forward do not stand in the way of a copy
    theirs = copy.deepcopy(ours)
    for module in (ours, theirs):
        train(module, sketch, 0, 3, optimizer(module))
    equal(ours, theirs)


@every_pair
def test_the_state_comes_back(sketch: str, recipe: str) -> None:
    ours, theirs = trained(sketch, recipe), prepared(sketch, recipe).eval()
    x = batch(sketch)[0]
    assert not torch.equal(ours(x), theirs(x))
    theirs.load_state_dict(ours.state_dict())
    assert torch.equal(ours(x), theirs(x))
    assert lower(ours) == lower(theirs)


@every_pair
def test_modes_flip_and_flip_back(sketch: str, recipe: str) -> None:
    ours, x = trained(sketch, recipe), batch(sketch)[0]
    first = ours(x)
    before = copy.deepcopy(ours.state_dict())
    assert torch.equal(ours(x), first)
    torch.testing.assert_close(dict(ours.state_dict()), dict(before), rtol=0, atol=0)
    assert not torch.equal(ours.train()(x), first) or "bn(eval)" in sketch
    ours.load_state_dict(before)
    assert torch.equal(ours.eval()(x), first)


@every_pair
def test_a_float_checkpoint_loads(sketch: str, recipe: str) -> None:
    """Under the model's own names: what is missing is lowbit's, nothing is unexpected, and the values arrive."""
    model, ours = network(sketch, seed=7)[0], prepared(sketch, recipe)
    missing, unexpected = ours.load_state_dict(model.state_dict(), strict=False)
    assert not unexpected
    assert missing
    assert all(name.startswith("lowbit.") for name in missing)
    assert all(torch.equal(ours.state_dict()[name], tensor) for name, tensor in model.state_dict().items())


@every_pair
def test_parameter_groups_are_a_partition(sketch: str, recipe: str) -> None:
    ours = prepared(sketch, recipe)
    grouped = list(chain.from_iterable(group["params"] for group in ours.parameter_groups(0.1, 0.01)))
    assert len(grouped) == len({id(p) for p in grouped})
    assert {id(p) for p in grouped} == {id(p) for p in ours.parameters()}
    decayed = [p for group in ours.parameter_groups(0.1, 0.01) if group["weight_decay"] for p in group["params"]]
    own = {id(p) for name, p in ours.named_parameters() if name.startswith("lowbit.")}
    assert own
    assert not own & {id(p) for p in decayed}


@every_pair
def test_stopped_and_resumed_is_never_stopped(sketch: str, recipe: str) -> None:
    """Through state dictionaries alone, in the middle of every schedule, to the last bit."""
    whole = prepared(sketch, recipe)
    train(whole, sketch, 0, STEPS, optimizer(whole))
    first = prepared(sketch, recipe)
    opt = optimizer(first)
    train(first, sketch, 0, 6, opt)
    second = prepared(sketch, recipe)
    second.load_state_dict(first.state_dict())
    again = optimizer(second)
    again.load_state_dict(opt.state_dict())
    train(second, sketch, 6, STEPS, again)
    equal(whole, second)
