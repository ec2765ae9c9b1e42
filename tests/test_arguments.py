"""Arguments of the front door that are of the wrong kind are refused with the way out."""

from __future__ import annotations

from typing import Any

import lowbit
import pytest
import torch
from lowbit import UserError
from torch import Tensor, nn

X = torch.rand(2, 4)


def prepare(model: Any = None, inputs: Any = (X,), recipe: Any = "choi2020", steps: Any = 10) -> lowbit.Prepared:
    return lowbit.prepare(nn.Sequential(nn.Linear(4, 3)) if model is None else model, inputs, recipe, steps=steps)


@pytest.mark.parametrize("steps", [0, -5, 1.5, "100", True])
def test_steps_are_a_positive_integer(steps: Any) -> None:
    with pytest.raises(UserError, match="not a positive integer"):
        prepare(steps=steps)


@pytest.mark.parametrize("recipe", [None, 3, {}, b"choi2020"])
def test_a_recipe_of_another_kind_is_refused(recipe: Any) -> None:
    with pytest.raises(UserError, match="a recipe cannot be a") as caught:
        prepare(recipe=recipe)
    assert "choi2020" in caught.value.fix


def test_a_function_is_no_model() -> None:
    with pytest.raises(UserError, match=r"not a torch\.nn\.Module"):
        prepare(lambda x: x)


def test_a_tensor_alone_is_neither_arguments_nor_batches() -> None:
    with pytest.raises(UserError, match="not the arguments of a forward"):
        prepare(inputs=X)
    with pytest.raises(UserError, match="not an iterable of batches") as caught:
        lowbit.calibrate(prepare(), X)  # type: ignore[arg-type]
    assert "[x]" in caught.value.fix


class Spoken(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lin = nn.Linear(4, 4)

    def forward(self, x: Tensor, shift: Tensor | None = None, scale: float = 1.0, *, extra: Any = None) -> Tensor:
        y: Tensor = self.lin(x) * scale
        return y if shift is None else y + shift


@pytest.mark.parametrize("given", [((), {}), ((None,), {}), ((None, 1.0), {"extra": None}), ((), {"scale": 1.0})])
@pytest.mark.parametrize("captured", [((), {}), ((None, 1.0), {}), ((), {"extra": None})])
def test_a_default_may_be_given_or_left_out(captured: Any, given: Any) -> None:
    model = Spoken()
    ours = lowbit.capture(model, (X, *captured[0]), kwargs=captured[1])
    assert torch.equal(ours(X, *given[0], **given[1]), model(X))


def test_arguments_of_another_form_are_shown_beside_those_of_the_capture() -> None:
    ours = lowbit.capture(Spoken(), (X,), kwargs={"scale": 0.5})
    with pytest.raises(UserError, match="another form") as caught:
        ours(X, X, scale=0.5)
    assert caught.value.why == "given ·, ·, ·; captured with ·, scale=·"
    with pytest.raises(UserError, match=r"input 1 is 0\.25"):
        ours(X, scale=0.25)


@pytest.mark.parametrize("given", [X.numpy(), "text", 1.0])
def test_what_is_no_tensor_is_refused(given: Any) -> None:
    with pytest.raises(UserError, match=f"input 0 is a {type(given).__name__}, not a tensor"):
        prepare()(given)


def test_an_empty_batch_does_not_calibrate() -> None:
    ours = prepare(recipe="ptq8")
    with pytest.raises(UserError, match="batch 2 to calibrate with holds no example"):
        lowbit.calibrate(ours, [X, X[:0]])
