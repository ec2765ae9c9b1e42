"""Tasks: closed forms of their losses and measures, wrong data by name, and the whole way of the command for each."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import lowbit
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from lowbit import Data, Effort, Plan, UserError
from lowbit.cli.main import main
from lowbit.compiler.task import Task, tasks
from lowbit.compiler.training import judged
from torch import Tensor, nn
from torch.utils.data import TensorDataset

SOURCE = """
import torch, lowbit
from torch import nn
from torch.utils.data import Dataset, TensorDataset

def net(channels=1):
    return nn.Sequential(nn.Conv2d(channels, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, channels, 3, padding=1))

class Pairs(Dataset):
    def __init__(self, count=12, channels=1, seed=0):
        drawn = torch.Generator().manual_seed(seed)
        self.y = torch.rand(count, channels, 8, 8, generator=drawn)
        self.x = nn.functional.avg_pool2d(self.y, 3, 1, 1)
    def __len__(self):
        return len(self.y)
    def __getitem__(self, i):
        return self.x[i], self.y[i]

def number():
    return 7

class Noisy(Pairs):
    def __getitem__(self, i):
        import random, numpy
        x, y = super().__getitem__(i)
        return x + 0.1 * random.random() + 0.1 * float(numpy.random.rand()) + 0.1 * torch.rand(()), y

def data():
    return lowbit.Data(Pairs(), Pairs(seed=1))
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sr.py").write_text(SOURCE)
    (tmp_path / "r.toml").write_text('name = "eight"\nprepare = [{use = "insert_fake_quant", weight_bits = 8}]')
    return tmp_path


def compiling(*more: str, data: str = "sr.py:data", net: str = "sr.py:net") -> list[str]:
    arguments = ["compile", net, "--recipe", "r.toml", "--data", data, "-o", "sr.lowbit"]
    return [*arguments, "--float-epochs", "1", "--epochs", "1", "--batch-size", "4", *more]


def images(*values: float) -> Tensor:
    """Images of one value each, (N, 3, 6, 6)."""
    return torch.tensor(values).reshape(-1, 1, 1, 1).expand(-1, 3, 6, 6).clone()


def score(task: Task, given: Tensor, target: Tensor) -> Tensor:
    return task.score(given, target, task.options)


def test_psnr_is_the_closed_form() -> None:
    x, y = images(0.5, 0.25, 0.7), images(0.4, 0.0, 0.7)
    expected = [20 * math.log10(1 / 0.1), 20 * math.log10(1 / 0.25), 100.0]
    assert score(lowbit.task("super_resolution"), x, y).tolist() == pytest.approx(expected, rel=1e-6)
    bytes_ = lowbit.task("super_resolution", peak=255.0)
    assert score(bytes_, 255 * x, 255 * y).tolist() == pytest.approx(expected, rel=1e-6)


def test_the_border_is_left_out() -> None:
    x, y = images(0.5), images(0.4)
    x[:, :, 0], x[:, :, -1], x[..., 0], x[..., -1] = 0, 1, 1, 0
    assert float(score(lowbit.task("super_resolution", border=1), x, y)) == pytest.approx(20, abs=1e-4)
    assert float(score(lowbit.task("super_resolution"), x, y)) < 19


def test_luma_is_the_one_of_matlab() -> None:
    """rgb2ycbcr of 8-bit images: Y = 16 + (65.481 R + 128.553 G + 24.966 B) / 255 for R, G, B in 0..255."""
    drawn = np.random.default_rng(0)
    x, y = drawn.integers(0, 256, (2, 1, 3, 6, 6))
    luma = [16 + np.einsum("nchw,c->nhw", image, [65.481, 128.553, 24.966]) / 255 for image in (x, y)]
    expected = 10 * math.log10(255**2 / np.mean((luma[0] - luma[1]) ** 2))
    task = lowbit.task("super_resolution", luma=True, peak=255.0)
    assert float(score(task, torch.tensor(x).double(), torch.tensor(y).double())) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(("loss", "expected"), [("l1", 0.2), ("mse", 0.05)])
def test_the_losses_are_means(loss: str, expected: float) -> None:
    task = lowbit.task("super_resolution", loss=loss)
    assert float(task.loss(images(0.1, 0.3), images(0.0, 0.0), task.options)) == pytest.approx(expected)


def test_a_measure_is_the_mean_over_samples_whatever_the_batches() -> None:
    y = torch.rand(7, 1, 4, 4)
    task, data = lowbit.task("super_resolution"), TensorDataset(y, y.roll(1, 0))
    values = [judged(lambda x: x, data, task, size) for size in (1, 3, 7, 500)]
    assert values == pytest.approx([float(score(task, y, y.roll(1, 0)).mean())] * 4)


@pytest.mark.parametrize(
    ("temperature", "expected"), [(1.0, 0.5 * math.log(0.5 / 0.8) + 0.5 * math.log(0.5 / 0.2)), (2.0, None)]
)
def test_distillation_is_the_divergence_of_softened_scores(temperature: float, expected: float | None) -> None:
    task = lowbit.task("classification", temperature=temperature)
    teacher, scores = torch.zeros(1, 2).double(), torch.tensor([[math.log(0.8), math.log(0.2)]]).double()
    if expected is None:
        odds = 2.0  # sqrt(0.8 / 0.2), scores over two
        expected = 4 * (0.5 * math.log(0.5 * (1 + odds) / odds) + 0.5 * math.log(0.5 * (1 + odds)))
    assert float(task.imitation(scores, teacher, task.options)) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("name", tasks())
@given(seed=st.integers(0, 2**32 - 1))
def test_imitation_is_least_where_outputs_are_the_teachers(name: str, seed: int) -> None:
    task, drawn = tasks()[name], torch.Generator().manual_seed(seed)
    shape = (4, 5) if name == "classification" else (4, 1, 6, 6)
    teacher, other = (torch.randn(shape, generator=drawn) for _ in range(2))
    at = teacher.clone().requires_grad_()
    least = task.imitation(at, teacher, task.options)
    least.backward()
    assert least.item() == pytest.approx(0, abs=1e-6)
    assert at.grad is not None
    assert float(at.grad.abs().max()) < 1e-6
    assert float(task.imitation(other, teacher, task.options)) > least.item()


def test_every_task_says_what_it_is() -> None:
    assert set(tasks()) == {"classification", "super_resolution"}
    for task in tasks().values():
        assert task.shown(0.5)
        assert task.measure in ("accuracy", "PSNR")


BAD: dict[str, tuple[Callable[[], TensorDataset], dict[str, object], str]] = {
    "another size": (lambda: TensorDataset(torch.rand(8, 1, 8, 8), torch.rand(8, 1, 16, 16)), {}, "targets of shape"),
    "classes": (lambda: TensorDataset(torch.rand(8, 1, 8, 8), torch.arange(8)), {}, "targets of shape"),
    "bytes": (lambda: TensorDataset(torch.rand(8, 1, 8, 8), torch.ones(8, 1, 8, 8, dtype=torch.uint8)), {}, "uint8"),
    "too bright": (lambda: TensorDataset(torch.rand(8, 1, 8, 8), 255 * torch.rand(8, 1, 8, 8)), {}, "white is 1"),
    "luma of grey": (lambda: TensorDataset(*torch.rand(2, 8, 1, 8, 8)), {"luma": True}, "luma is of red"),
    "all border": (lambda: TensorDataset(*torch.rand(2, 8, 1, 8, 8)), {"border": 4}, "border of 4 leaves nothing"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_images_are_refused_before_training(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lowbit.compilation.train", lambda *given: pytest.fail("training began"))
    make, options, message = BAD[case]
    task, data = lowbit.task("super_resolution", **options), make()
    with pytest.raises(UserError, match=message) as caught:
        lowbit.compile(nn.Conv2d(1, 1, 3, padding=1), Data(data, data), "ptq8", Effort(Plan(1), Plan(1), task))
    assert caught.value.fix


def test_super_resolution_by_the_command(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(compiling("--task", "super_resolution?loss=mse&border=1")) == 0
    out = capsys.readouterr().out
    rows = {line[:24].strip(): line[24:].strip() for line in out.splitlines()}
    assert rows["float PSNR"].endswith(" dB")
    assert rows["integer PSNR, numpy"] == rows["integer PSNR, torch"]
    assert rows["bit-exact"].startswith("yes")
    assert "accuracy" not in out


def test_two_datasets_by_the_command(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = compiling("--task", "super_resolution", "--test-data", "sr.py:Pairs?seed=1", data="sr.py:Pairs?count=8")
    assert main(given) == 0
    assert "integer PSNR, torch" in capsys.readouterr().out


REFUSED = {
    "no such task": (["--task", "regression"], "sr.py:data", "no task is called 'regression'"),
    "no such option": (["--task", "super_resolution?blur=1"], "sr.py:data", "blur"),
    "a wrong option": (["--task", "super_resolution?border=-1"], "sr.py:data", "task.border"),
    "an option of another task": (["--task", "classification?border=1"], "sr.py:data", "border"),
    "one data set": (["--task", "super_resolution"], "sr.py:Pairs", "--test-data"),
    "three data sets": (["--test-data", "sr.py:Pairs"], "sr.py:data", "leave --test-data out"),
    "a task that is not meant": ([], "sr.py:data", "not a score of each class"),
    "no data at all": ([], "sr.py:number", "not a lowbit.Data"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_the_command_refuses(case: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    more, data, message = REFUSED[case]
    assert main(compiling(*more, data=data)) == 1
    err = capsys.readouterr().err
    assert message in err
    assert "bug" not in err


def test_the_seed_is_of_all_random_numbers_that_a_dataset_draws(here: Path) -> None:
    given = compiling("--task", "super_resolution", "--test-data", "sr.py:Pairs", data="sr.py:Noisy")
    files = []
    for _ in range(2):
        assert main(given) == 0
        files.append((here / "sr.lowbit").read_bytes())
    assert files[0] == files[1]


def test_a_stopped_command_goes_on(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To the same bytes as one that was not, whatever ended it."""
    given = compiling("--task", "super_resolution", "--checkpoint-steps", "1")
    assert main([*given, "--checkpoint", "whole.ckpt"]) == 0
    whole = (here / "sr.lowbit").read_bytes()
    (here / "sr.lowbit").unlink()
    from lowbit.cli import live

    def fails(loss: float, scalars: dict[str, float]) -> str:
        if "zeros" in scalars and (here / "half.ckpt").exists():
            raise KeyboardInterrupt
        return ""

    with monkeypatch.context() as patch:
        patch.setattr(live, "line", fails)
        assert main([*given, "--checkpoint", "half.ckpt"]) == 130
    assert not (here / "sr.lowbit").exists()
    assert main([*given, "--checkpoint", "half.ckpt"]) == 0
    assert (here / "sr.lowbit").read_bytes() == whole
