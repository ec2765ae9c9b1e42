"""Data that a model cannot be trained or judged on is refused before the first epoch; batches and steps agree."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import lowbit
import pytest
import torch
import torch.nn.functional as F
from lowbit import Data, Plan, Unsupported, UserError
from lowbit.api import passes
from lowbit.compilation import trained
from lowbit.compiler.recipe import parse
from lowbit.compiler.training import batches, train
from torch import Tensor, nn
from torch.utils.data import Dataset, IterableDataset, TensorDataset

ONE = lowbit.Effort(Plan(1, 8), Plan(1, 8))


class Stream(IterableDataset[Any]):
    def __iter__(self) -> Iterator[Any]:
        yield torch.rand(4), 1


class Pair(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.inner(x), self.inner(x)


def net() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))


def data(samples: int = 16, size: int = 4) -> TensorDataset:
    return TensorDataset(torch.rand(samples, size), torch.arange(samples) % 3)


def labelled(y: Any) -> TensorDataset:
    return TensorDataset(torch.rand(len(y), 4), torch.as_tensor(y))


def compiled(train: Any, test: Any, model: Callable[[], nn.Module] = net, effort: lowbit.Effort = ONE) -> lowbit.Report:
    return lowbit.compile(model(), Data(train, test), "choi2020", effort)


def test_a_teacher_alone_needs_no_labels_and_no_share_needs_no_teacher() -> None:
    x, teacher, first = torch.rand(16, 4), net().eval(), net()
    labels, others = torch.arange(16) % 3, (torch.arange(16) + 1) % 3
    before = {name: value.clone() for name, value in teacher.state_dict().items()}

    def learned(y: Tensor, share: float, teacher: nn.Module | None = teacher) -> dict[str, Tensor]:
        model = copy.deepcopy(first)
        train(model, TensorDataset(x, y), Plan(2, 8, distill=share), teacher=teacher)
        return model.state_dict()

    def same(these: dict[str, Tensor], those: dict[str, Tensor]) -> bool:
        return all(torch.equal(value, those[name]) for name, value in these.items())

    assert same(learned(labels, 1.0), learned(others, 1.0))
    assert not same(learned(labels, 0.5), learned(others, 0.5))
    assert not same(learned(labels, 0.5), learned(labels, 1.0))
    assert same(learned(labels, 0.0), learned(labels, 0.0, teacher=None))
    assert same(teacher.state_dict(), before)
    with pytest.raises(UserError, match="no teacher"):
        learned(labels, 0.5, teacher=None)


@pytest.mark.parametrize(("schedule", "last"), [("cosine", 0.0), ("constant", 0.1)])
def test_the_learning_rate_follows_the_plan(schedule: Any, last: float) -> None:
    rates: list[float] = []

    class Watched(torch.optim.Adam):
        def step(self, *args: Any, **kwargs: Any) -> Any:
            rates.append(self.param_groups[0]["lr"])
            return super().step(*args, **kwargs)

    with mock.patch("torch.optim.Adam", Watched):
        train(net(), data(), Plan(4, 4, lr=0.1, schedule=schedule))
    assert len(rates) == 16
    assert rates[0] == 0.1
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] == pytest.approx(last, abs=0.002)


def test_an_unknown_schedule_is_refused() -> None:
    with pytest.raises(UserError, match="schedule of the learning rate is called 'linear'"):
        train(net(), data(), Plan(1, 4, schedule="linear"))  # type: ignore[arg-type]


def test_compile_imitates_the_float_model() -> None:
    train_set, recipe = TensorDataset(torch.rand(64, 4), torch.arange(64) % 3), Plan(4, 8, lr=0.01)

    def distance(share: float) -> float:
        torch.manual_seed(0)
        model = net()
        effort = lowbit.Effort(Plan(0), dataclasses.replace(recipe, distill=share))
        prepared, _ = trained(model, Data(train_set, train_set), "lsq", effort)
        with torch.no_grad():
            return float(F.mse_loss(prepared(train_set.tensors[0]), model(train_set.tensors[0])))

    assert distance(1.0) < 0.5 * distance(0.0)


BAD: dict[str, tuple[Any, str]] = {
    "empty": ([], "data is empty"),
    "label too high": (labelled([0, 1, 3, 2]), r"labels in .* 3 classes"),
    "label too high, late": (labelled([0, 1] * 8 + [7]), "3 classes"),
    "label below zero": (labelled([0, -1, 1]), "3 classes"),
    "float labels": (labelled([0.0, 1.0, 2.0]), "not one integer a sample"),
    "one-hot labels": (labelled([[0, 1, 0]] * 3), "not one integer a sample"),
    "no labels": (TensorDataset(torch.rand(8, 4)), "not a pair"),
    "no labels in a list": ([torch.rand(4)] * 8, "not a pair"),
    "no length": (Stream(), "Stream has no length"),
    "no dataset": (7, "int has no length"),
    "no tensors": ([(object(), 1)] * 8, "no batch can be made"),
}


@pytest.mark.parametrize("case", BAD)
@pytest.mark.parametrize("place", [0, 1])
def test_bad_data_is_refused_before_the_first_epoch(case: str, place: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lowbit.compilation.train", lambda *given: pytest.fail("training began"))
    found, message = BAD[case]
    sets: list[Any] = [data(), data()]
    sets[place] = found
    with pytest.raises(UserError, match=message) as caught:
        compiled(*sets)
    assert caught.value.fix or case == "empty"


def test_test_inputs_of_another_shape_are_refused() -> None:
    with pytest.raises(UserError, match=r"test inputs have shape \(5,\)"):
        compiled(data(), data(size=5))


@pytest.mark.parametrize(("model", "message"), [(Pair, "gives a tuple"), (nn.ReLU, "no parameter to train")])
def test_a_model_that_is_no_classifier_is_refused(model: Callable[[], nn.Module], message: str) -> None:
    with pytest.raises(UserError, match=message):
        compiled(data(), data(), model)


def test_a_model_of_which_a_part_stays_float_is_refused_before_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lowbit.compilation.train", lambda *given: pytest.fail("training began"))
    recipe = parse('leaves = ["0"]\n[[prepare]]\nuse = "insert_fake_quant"\n', passes())
    with pytest.warns(match="cannot be lowered: 0"), pytest.raises(Unsupported, match="no integer form"):
        lowbit.compile(net(), Data(data(), data()), recipe, ONE)


@pytest.mark.parametrize("kind", ["float", "choi2020"])
def test_a_training_that_diverges_stops(kind: str) -> None:
    model = net() if kind == "float" else lowbit.prepare(net(), (torch.rand(4, 4),), kind, steps=9)
    with pytest.raises(UserError, match="has diverged") as caught:
        train(model, data(), Plan(9, 4, lr=1e30))
    assert "the loss of the task is" in caught.value.why


def test_the_look_at_the_task_leaves_the_modes_alone() -> None:
    model = net()
    model[1].eval()  # type: ignore[index]
    before = [part.training for part in model.modules()]
    lowbit.compiler.training.check_task(model, Data(data(), data()))
    assert [part.training for part in model.modules()] == before


@pytest.mark.parametrize("kind", ["memory", "list"])
@pytest.mark.parametrize(("samples", "size"), [(17, 8), (16, 8), (1, 8), (3, 1), (10, 8), (9, 9)])
def test_as_many_steps_as_batches(kind: str, samples: int, size: int) -> None:
    dataset: Dataset[Any] = data(samples)
    if kind == "list":
        dataset = [dataset[i] for i in range(samples)]  # type: ignore[assignment]
    lengths = [len(y) for _, y in batches(dataset, size, shuffle=True)]
    assert len(lengths) == Plan(1, size).steps(dataset)
    assert 1 not in lengths or 1 in (samples, size)
    assert sum(len(y) for _, y in batches(dataset, size)) == samples


def test_a_last_batch_of_one_does_not_break_batch_norm() -> None:
    assert compiled(data(17), data()).parameters
    with pytest.raises(UserError, match="single sample"):
        compiled(data(1), data())


def test_labels_of_any_integer_type_do() -> None:
    dataset = labelled(torch.arange(8, dtype=torch.int32) % 3)
    train(net(), dataset, Plan(1, 4))
