"""Arguments of the front door that are of the wrong kind are refused with the way out."""

from __future__ import annotations

from typing import Any

import lowbit
import pytest
import torch
from lowbit import UserError
from torch import nn

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
