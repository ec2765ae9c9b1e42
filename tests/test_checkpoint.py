"""A training that was stopped ends as one that was not, to the last bit: killed, interrupted or failed at any step."""

from __future__ import annotations

import itertools
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import interrupted
import lowbit
import numpy as np
import pytest
import torch
from lowbit import Checkpoint, Plan, Progress, UserError
from lowbit.compiler.settings import override
from lowbit.compiler.training import train
from lowbit.compiler.training.data import fingerprint
from torch import Tensor, nn

PLAN = Plan(3, 4, 0.01)
STEPS = PLAN.steps(interrupted.Noisy())
SCRIPT = Path(interrupted.__file__)


class Stop(Exception):
    """Whatever ends a training from outside."""


def model(recipe: str) -> nn.Module:
    net = interrupted.net()
    if recipe == "float":
        return net
    return lowbit.prepare(net, (torch.rand(4, 1, 4, 4),), recipe, steps=STEPS)


def trained(recipe: str, path: Path | None = None, at: int = 0, end: Any = None, steps: int = 1) -> dict[str, Tensor]:
    """The state after a training, which `end` may end after step number `at`."""
    random.seed(1)
    np.random.seed(1)
    module = model(recipe)

    def report(progress: Progress) -> None:
        if progress.step == at:
            end()

    kept = Checkpoint(path, steps=steps, minutes=60).stage() if path else None
    train(module, interrupted.Noisy(), PLAN, report, kept)
    return dict(module.state_dict())


@cache
def whole(recipe: str) -> dict[str, Tensor]:
    """The state after the training that nothing ended."""
    return trained(recipe)


def same(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> None:
    torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


def fails() -> None:
    raise Stop


@pytest.mark.parametrize("recipe", ["float", "choi2020"])
@pytest.mark.parametrize(("at", "steps"), [(1, 1), (5, 2), (6, 1), (STEPS, 1), (3, 9)])
def test_a_training_that_failed_goes_on(recipe: str, at: int, steps: int, tmp_path: Path) -> None:
    """What was saved last may be the step before, several before, the end of an epoch, or nothing at all."""
    with pytest.raises(Stop):
        trained(recipe, tmp_path / "c", at, fails, steps)
    same(trained(recipe, tmp_path / "c", steps=steps), whole(recipe))
    same(trained(recipe, tmp_path / "c", steps=steps), whole(recipe))  # it is over, and stays as it is


def test_ctrl_c_saves_the_step_and_stops(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        trained("choi2020", tmp_path / "c", 8, lambda: signal.raise_signal(signal.SIGINT), steps=0)
    told: list[int] = []
    module = model("choi2020")
    train(module, interrupted.Noisy(), PLAN, lambda at: told.append(at.step), tmp_path / "c")
    assert told == list(range(9, STEPS + 1))
    same(dict(module.state_dict()), whole("choi2020"))


@pytest.fixture
def _heard() -> Iterator[None]:
    """Ctrl-C is heard also where the tests run in the background of a shell, which tells them to ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_heard")
def test_a_second_ctrl_c_is_not_held_back(tmp_path: Path) -> None:
    def twice() -> None:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        raise Stop  # not reached

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        trained("float", tmp_path / "c", 2, twice, steps=0)
    assert not (tmp_path / "c").exists()
    assert signal.getsignal(signal.SIGINT) is before


def _child(folder: Path) -> subprocess.Popen[str]:
    paths = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), str(SCRIPT.parent)]))
    environment = {**os.environ, "PYTHONPATH": paths}
    folder.mkdir(exist_ok=True)
    command = [sys.executable, "-W", "ignore", str(SCRIPT), str(folder)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


def _steps(child: subprocess.Popen[str], most: int) -> int:
    """Read up to so many steps, then kill the process, wherever it is by then. The steps that it told."""
    with child:
        assert child.stdout is not None
        told = sum(1 for _ in itertools.islice(child.stdout, most))
        if told == most:
            child.kill()
        return told + len(child.stdout.readlines())


def test_a_process_that_is_killed_ends_in_the_same_file(tmp_path: Path) -> None:
    """Through both trainings, killed until it comes to its end; only the last run ends by itself."""
    (tmp_path / "whole").mkdir()
    interrupted.run(tmp_path / "whole")
    draw, kills = random.Random(5), 0
    for most in (draw.randint(2, 8), draw.randint(9, 14), 10**6):
        child = _child(tmp_path / "killed")
        _steps(child, most)
        kills += child.returncode == -signal.SIGKILL
    assert kills == 2
    whole, killed = (torch.load(tmp_path / name / "run.ckpt")["stages"] for name in ("whole", "killed"))
    for stage in ("float", "recipe"):
        same(killed[stage]["parts"]["module"], whole[stage]["parts"]["module"])
    files = [(tmp_path / name / "out.lowbit").read_bytes() for name in ("whole", "killed")]
    assert files[0] == files[1]


OTHERS = {
    "epochs": Plan(4, 4, 0.01),
    "batch_size": Plan(3, 5, 0.01),
    "lr": Plan(3, 4, 0.02),
    "seed": Plan(3, 4, 0.01, seed=1),
}


@pytest.mark.parametrize("key", OTHERS)
def test_another_training_is_refused(key: str, tmp_path: Path) -> None:
    with pytest.raises(Stop):
        trained("float", tmp_path / "c", 2, fails)
    with pytest.raises(UserError, match=f"does not fit[^$]*{key} ") as caught:
        train(model("float"), interrupted.Noisy(), OTHERS[key], checkpoint=tmp_path / "c")
    assert "remove the file" in caught.value.fix


def test_another_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Stop):
        trained("float", tmp_path / "c", 2, fails)
    other = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
    with pytest.raises(UserError, match="does not fit"):
        train(other, interrupted.Noisy(), PLAN, checkpoint=tmp_path / "c")


class Changed(interrupted.Noisy):
    """As many samples, of which the last is another."""

    def __getitem__(self, i: int) -> tuple[Tensor, int]:
        x, y = super().__getitem__(i)
        return (x + 1, y) if i == len(self) - 1 else (x, y)


class Own(interrupted.Noisy):
    """Draws from random numbers of its own, so that no sample comes twice."""

    def __init__(self) -> None:
        self.draw = random.Random(1)

    def __getitem__(self, i: int) -> tuple[Tensor, int]:
        return torch.full((1, 4, 4), self.draw.random()), i % 3


def test_other_data_of_the_same_length_is_refused_where_it_can_be_told(tmp_path: Path) -> None:
    states = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()  # type: ignore[index]
    assert len({fingerprint(data) for data in (interrupted.Noisy(), Changed(), Own())}) == 3
    assert (fingerprint(Own()), fingerprint(Changed())) == ("", fingerprint(Changed()))
    assert states == (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist())  # type: ignore[index]
    with pytest.raises(Stop):
        trained("float", tmp_path / "c", 2, fails)
    with pytest.raises(UserError, match=r"does not fit[^$]*content of the data"):
        train(model("float"), Changed(), PLAN, checkpoint=tmp_path / "c")


def test_another_recipe_is_refused_by_the_lines_that_differ(tmp_path: Path) -> None:
    with pytest.raises(Stop):
        trained("choi2020", tmp_path / "c", 2, fails)
    recipe = override(lowbit.read_recipe("choi2020"), ["insert_fake_quant.weight_bits=3"])
    other = lowbit.prepare(interrupted.net(), (torch.rand(4, 1, 4, 4),), recipe, steps=STEPS)
    with pytest.raises(UserError, match="does not fit") as caught:
        train(other, interrupted.Noisy(), PLAN, checkpoint=tmp_path / "c")
    assert caught.value.why == "recipe ['weight_bits = 4'] there, ['weight_bits = 3'] here"


def test_no_training_is_kept_as_one_and_another_is_refused(tmp_path: Path) -> None:
    """A second training that began behind none must not be taken up behind one."""
    kept = Checkpoint(tmp_path / "c")
    train(model("float"), interrupted.Noisy(), Plan(0, 4), checkpoint=kept.stage("float"))
    train(model("choi2020"), interrupted.Noisy(), PLAN, checkpoint=kept.stage("recipe"))
    with pytest.raises(UserError, match="epochs 0 there, 3 here"):
        train(model("float"), interrupted.Noisy(), PLAN, checkpoint=Checkpoint(tmp_path / "c").stage("float"))


ELSE: dict[str, tuple[object, str]] = {
    "a tensor": (torch.ones(3), "something else"),
    "a list": ([1, 2], "something else"),
    "weights": ({"a": torch.ones(3)}, "something else"),
    "another form": ({"form": 1, "stages": {}}, "the form 1"),
    "a number of trainings": ({"form": 2, "stages": 5}, "a part of it is missing"),
    "half a training": ({"form": 2, "stages": {"training": {"about": {}}}}, "a part of it is missing"),
}


@pytest.mark.parametrize("case", ELSE)
def test_what_else_torch_may_have_saved_is_refused(case: str, tmp_path: Path) -> None:
    saved, why = ELSE[case]
    torch.save(saved, tmp_path / "c")
    with pytest.raises(UserError, match="no checkpoint") as caught:
        Checkpoint(tmp_path / "c")
    assert why in caught.value.why


@pytest.mark.parametrize("damage", ["text", "empty", "half", "pickle"])
def test_a_file_that_is_no_checkpoint_is_refused(damage: str, tmp_path: Path) -> None:
    path = tmp_path / "c"
    with pytest.raises(Stop):
        trained("float", path, 2, fails)
    if damage == "pickle":
        torch.save({"form": Plan(1)}, path)
    else:
        path.write_bytes(
            {"text": b"hello", "empty": b"", "half": path.read_bytes()[: path.stat().st_size // 2]}[damage]
        )
    before = path.read_bytes()
    with pytest.raises(UserError, match="no checkpoint") as caught:
        trained("float", path)
    assert str(path) in caught.value.where
    assert caught.value.why == "torch cannot read it"  # not torch's advice, which is to run what lies in it
    assert path.read_bytes() == before


def test_a_failed_save_leaves_the_last_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "c"
    with pytest.raises(Stop):
        trained("float", path, 2, fails)
    before = path.read_bytes()

    def full(*given: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match="cannot be written"):
        trained("float", path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["c"]
