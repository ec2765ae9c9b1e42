"""Batches that a model cannot be calibrated with: one message, which names the batch and what was expected."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import lowbit
import pytest
import torch
from lowbit import Prepared
from lowbit.compiler.errors import UserError
from lowbit.compiler.sketches.sketch import network
from prepared import prepared
from torch import Tensor, nn

X = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
SHAPE = "(2, 3, 8, 8)"
FORM = "the arguments have another form than at capture"
BATCHES: dict[str, tuple[Any, str, str]] = {
    "double": (X.double(), "cannot run on a batch", f"given float64 {SHAPE}; captured with float32 (N, 3, 8, 8)"),
    "half": (X.half(), "cannot run on a batch", f"given float16 {SHAPE}; captured with float32 (N, 3, 8, 8)"),
    "another device": (X.to("meta"), "cannot run on a batch", "meta"),
    "integers": (X.long(), "input 0 is of whole numbers", "those at capture were floating-point"),
    "wrong shape": (X[..., :4], "input 0 has shape (2, 3, 8, 4)", "captured with (N, 3, 8, 8)"),
    "labels": ((X, torch.zeros(2)), FORM, "too many positional arguments"),
    "no argument": ((), FORM, "missing a required argument"),
    "another name": ({"image": X}, FORM, "missing a required argument"),
    "nothing": (None, "input 0 is a NoneType, not a tensor", ""),
    "no number": (X / 0, "met infinity or not-a-number", ""),
}


@pytest.fixture(scope="module")
def ours() -> Prepared:
    return prepared("conv(3) bn relu conv(2)", "choi2020")


@pytest.mark.parametrize("case", BATCHES)
def test_the_batch_is_named(case: str, ours: Prepared) -> None:
    batch, what, why = BATCHES[case]
    with pytest.raises(UserError) as caught:
        lowbit.calibrate(ours, [X, batch])
    assert caught.value.where.startswith("batch 2")
    assert what in caught.value.what
    assert why in caught.value.why
    assert caught.value.fix


@pytest.mark.parametrize("examples", [X, {"x": X}, "abc", None, 3], ids=lambda given: type(given).__name__)
def test_what_is_no_iterable_of_batches(examples: Any, ours: Prepared) -> None:
    with pytest.raises(UserError, match="not an iterable of batches"):
        lowbit.calibrate(ours, examples)


def test_no_batch_and_no_example(ours: Prepared) -> None:
    for none in ([], iter(())):
        with pytest.raises(UserError, match="no data to calibrate with"):
            lowbit.calibrate(ours, none)
    with pytest.raises(UserError, match="batch 2 to calibrate with holds no example"):
        lowbit.calibrate(ours, [X, X[:0]])


def test_what_the_loader_raises_is_left_alone(ours: Prepared) -> None:
    def broken() -> Iterator[Tensor]:
        yield X
        raise RuntimeError("the disk is gone")

    with pytest.raises(RuntimeError, match="the disk is gone"):
        lowbit.calibrate(ours, broken())


@pytest.mark.parametrize("use", [lambda model: lowbit.calibrate(model, [X]), lowbit.lower])
def test_a_model_that_is_not_prepared(use: Any) -> None:
    with pytest.raises(UserError, match="the model is a Sequential, which no recipe has prepared"):
        use(network("conv(3)")[0])


def test_islands_name_the_batch_too() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.body(x)
            return y if float(y.detach().sum()) > 0 else -y

    islands = lowbit.prepare_islands(Odd(), (X,), "choi2020", steps=4)
    with pytest.raises(UserError, match=r"cannot run on a batch|has shape") as caught:
        lowbit.calibrate(islands, [X, X[:, :2]])
    assert caught.value.where.startswith("batch 2")
    with pytest.raises(UserError) as caught:
        lowbit.calibrate(islands, [X, X.double()])
    assert caught.value.where
