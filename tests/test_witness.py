"""What an export cannot record is witnessed: custom gradients, Python's randomness, attributes."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from lowbit.compiler.capture import capture
from lowbit.compiler.capture.witness import Witness, refusal_of_draw, refusal_of_function
from lowbit.compiler.errors import UserError
from parts import Part, Whole, exported, line_of
from torch import Tensor, nn


class Round(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.round()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return grad


def rounded(m: nn.Module, x: Tensor) -> Any:
    return Round.apply(x)


def test_functions_are_seen_with_their_line() -> None:
    model = Whole(Part(rounded))
    with Witness(model) as seen:
        exported(model)
    (found,) = seen.functions
    assert (found.name, seen.draws, seen.assigned) == ("Round", (), ())
    assert found.where.startswith(f"parts.1 ({line_of(rounded, 'apply')})")
    error = refusal_of_function(found)
    assert "'Round'" in error.what
    assert error.where == found.where
    assert "register_autograd" in error.fix
    x = torch.randn(4, requires_grad=True)
    Round.apply(x).sum().backward()  # as ever
    assert torch.equal(x.grad, torch.ones(4))  # type: ignore[arg-type]


def reentrant(m: nn.Module, x: Tensor) -> Any:
    return torch.utils.checkpoint.checkpoint(lambda a: (a * a).relu(), x, use_reentrant=True) * 2


def test_a_reentrant_checkpoint_is_exported_with_its_gradients() -> None:
    model = Whole(Part(reentrant))
    with Witness(model) as seen:
        program = exported(model)
    assert seen.functions == ()
    x, grads = torch.randn(4, 4), []
    for module in (model, program.module(check_guards=False)):
        model.zero_grad()
        module(x).sum().backward()
        grads.append(model.lin.weight.grad.clone())  # type: ignore[union-attr]
    assert torch.equal(*grads)


def lottery(m: nn.Module, x: Tensor) -> Any:
    return x if random.random() < 0.5 else x + 1


def uniform(m: nn.Module, x: Tensor) -> Any:
    return x * random.uniform(1, 2)


def numpy_lottery(m: nn.Module, x: Tensor) -> Any:
    return x * float(np.random.rand())


def silent(m: nn.Module, x: Tensor) -> Any:
    return x * DRAW()


DRAW = random.random
DRAWS = [(lottery, "Python's random"), (uniform, "Python's random"), (numpy_lottery, "NumPy's random")]


@pytest.mark.parametrize(("function", "name"), DRAWS)
def test_draws_are_seen_with_their_line(function: Callable[..., Any], name: str) -> None:
    model = Whole(Part(function))
    with Witness(model) as seen:
        exported(model)
    (found,) = seen.draws
    assert found.name == name
    assert found.where.startswith(f"parts.1 ({line_of(function, 'return')})")
    error = refusal_of_draw(found)
    assert name in error.what
    assert "leaves = ['parts.1']" in error.fix


def test_a_draw_by_an_imported_name_is_seen() -> None:
    with Witness(model := Whole(Part(silent))) as seen:
        exported(model)
    assert [(draw.name, draw.where) for draw in seen.draws] == [("Python's random", "")]


def seeded(m: nn.Module, x: Tensor) -> Any:
    torch.manual_seed(0)
    return x + torch.rand(4)


def forked(m: nn.Module, x: Tensor) -> Any:
    with torch.random.fork_rng(devices=[]):
        return x + torch.rand(4)


def put_back(m: nn.Module, x: Tensor) -> Any:
    torch.random.set_rng_state(torch.get_rng_state())
    return x


def seed_read(m: nn.Module, x: Tensor) -> Any:
    return x + torch.initial_seed() % 2


def by_the_generator(m: nn.Module, x: Tensor) -> Any:
    torch.default_generator.manual_seed(0)
    return x + torch.rand(4)


SEEDS = [
    (seeded, "torch.manual_seed"),
    (forked, "torch.set_rng_state"),
    (put_back, "torch.set_rng_state"),
    (seed_read, "torch.initial_seed"),
    (by_the_generator, ""),
]


@pytest.mark.parametrize(("function", "name"), SEEDS)
def test_seeds_are_seen_with_their_line(function: Callable[..., Any], name: str) -> None:
    state = torch.get_rng_state()
    with pytest.raises(UserError) as caught:
        capture(Whole(Part(function)), (torch.randn(4, 4, generator=torch.Generator()),), verify=False)
    assert (name or "torch.default_generator") in caught.value.what
    assert "the state of the generator" in caught.value.why
    if name:
        text = "fork_rng" if function is forked else name.rpartition(".")[2]
        assert caught.value.where.startswith(f"parts.1 ({line_of(function, text)})")
        assert "leaves = ['parts.1']" in caught.value.fix
    torch.set_rng_state(state)


def remembering(m: Any, x: Tensor) -> Any:
    m.last = x
    return x


def test_attributes_set_are_seen_and_put_back() -> None:
    model = Whole(Part(remembering))
    with Witness(model) as seen:
        exported(model)
    (found,) = seen.assigned
    assert found.name == "parts.1.last"
    assert found.where.startswith(f"parts.1 ({line_of(remembering, 'm.last')})")
    assert not hasattr(model.parts[1], "last")
    model(torch.ones(4, 4))
    assert torch.equal(model.parts[1].last, model.lin(torch.ones(4, 4)))  # type: ignore[arg-type]


def test_an_ordinary_model_shows_nothing() -> None:
    model = Whole(nn.Sequential(nn.BatchNorm1d(4), nn.Dropout(0.5), nn.ReLU()))
    with Witness(model) as seen:
        exported(model)
    assert (seen.functions, seen.draws, seen.seeds, seen.assigned) == ((), (), (), ())
