"""The main job on real images, where LOWBIT_DATA names the folder of the data: MNIST through LeNet-5 to a file."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from types import ModuleType

import lowbit
import pytest
import torch
from lowbit.compiler.training import train
from torch.utils.data import TensorDataset

DATA = os.environ.get("LOWBIT_DATA", "")
SCRIPT = Path(__file__).parents[1] / "benchmarks" / "lenet_mnist.py"
pytestmark = pytest.mark.skipif(not DATA, reason="LOWBIT_DATA does not name the folder of the real data")


def _benchmark() -> ModuleType:
    spec = importlib.util.spec_from_file_location("lenet_mnist", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _some(dataset: TensorDataset, count: int) -> TensorDataset:
    return TensorDataset(*(tensor[:count] for tensor in dataset.tensors))


def test_lenet_keeps_its_accuracy_as_integers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(SCRIPT.parent)  # as when it is run
    benchmark = _benchmark()
    images, tests = (_some(benchmark.mnist(Path(DATA), split, "cpu"), 4000) for split in ("train", "t10k"))
    torch.manual_seed(0)
    model = benchmark.LeNet5()
    train(model, images, lowbit.Plan(1, 64))
    plan = lowbit.Plan(1, 64)
    prepared = lowbit.prepare(model, (images[:2][0],), "choi2020", steps=plan.steps(images))
    lowbit.calibrate(prepared, [images[:256][0]])
    train(prepared, images, plan)
    prepared.eval()
    size = lowbit.lower(prepared).save(tmp_path / "lenet.lowbit")
    program = lowbit.load(tmp_path / "lenet.lowbit")

    x, classes = tests[:]
    with torch.no_grad():
        simulated = prepared(x).argmax(1)
    deployed = torch.as_tensor(program.run(x, target="torch")[0]).argmax(1)  # C that tests compile is slow
    assert (simulated == deployed).float().mean() >= 0.999
    assert (deployed == classes).float().mean() > 0.9
    assert size < benchmark.FLOAT_BYTES / 15
    assert all(comparison.equal for comparison in lowbit.check(program, *program.quantize(x[:1])))
