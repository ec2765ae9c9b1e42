"""Two processes under torchrun do what one does at the same global batch, and what the plain module does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import ranks
import torch
from modules import same
from torch import Tensor, distributed

_GLOO = distributed.is_available() and distributed.is_gloo_available()
pytestmark = [
    pytest.mark.skipif(not _GLOO, reason="this torch has no gloo"),
    pytest.mark.xdist_group("torchrun"),  # the processes run once
]
SCRIPT = Path(ranks.__file__)
WHOLE = ("masks", "step")
"""Own tensors that hold whole numbers."""


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What each process saved."""
    folder = tmp_path_factory.mktemp("ranks")
    paths = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), str(SCRIPT.parent)]))
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*torchrun, str(SCRIPT), str(folder)], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return [torch.load(folder / f"{rank}.pt") for rank in range(2)]


def whole(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value for name, value in state.items() if name.startswith("lowbit.") and name.split(".")[1] in WHOLE}


@pytest.mark.parametrize("recipe", ranks.TRAINED)
def test_both_processes_hold_the_same(recipe: str, processes: list[dict[str, Any]]) -> None:
    for first, second in zip(*(saved["recipes"][recipe] for saved in processes), strict=True):
        torch.testing.assert_close(first["module"], second["module"], rtol=0, atol=0)


@pytest.mark.parametrize("recipe", ranks.TRAINED)
def test_two_processes_train_what_one_does(recipe: str, processes: list[dict[str, Any]]) -> None:
    """Each step from the state that two processes had before it: masks and counts to the last bit, the rest nearly.

    A sum of n float64 numbers in another order differs by less than n 2^-53 of the sum of their magnitudes: by 1e-13 or
    so of a gradient. Adam divides a gradient by its own size and adds 1e-8, so one near zero may be multiplied by
    lr / 1e-8, with the tenfold lr of scales 1e7: 1e-6 at worst, where a step moves by up to 0.1. Step by step, since
    rounding is no continuous function: a weight on a tie of its grid sends two trainings apart for good.
    """
    module, optimizer = ranks.begun(recipe)
    for step, expected in enumerate(processes[0]["recipes"][recipe]):
        alone = ranks.advance(module, module, optimizer, ranks.batch(step))["module"]
        torch.testing.assert_close(whole(alone), whole(expected["module"]), rtol=0, atol=0)
        torch.testing.assert_close(alone, expected["module"], rtol=0, atol=1e-6)
        module.load_state_dict(expected["module"])
        optimizer.load_state_dict(expected["optimizer"])


def test_a_captured_module_does_what_the_plain_one_does(processes: list[dict[str, Any]]) -> None:
    first, second = (saved["apart"] for saved in processes)
    assert same(first["ours"], first["plain"])
    assert same(second["ours"], second["plain"])
    for kind in ("plain", "ours", "recipe"):
        assert same(first[kind][0], second[kind][0])  # gradients are the mean over both
        trained = [name for name in first[kind][1] if "running" not in name]
        assert all(torch.equal(first[kind][1][name], second[kind][1][name]) for name in trained)
