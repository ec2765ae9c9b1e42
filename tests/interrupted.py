"""A compile that tells each step, to be killed at any: python interrupted.py FOLDER. It draws of all random numbers."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import lowbit
import numpy as np
import torch
from lowbit import Checkpoint, Data, Effort, Plan, Progress
from torch import Tensor, nn
from torch.utils.data import Dataset

SAMPLES, BATCH, EPOCHS, EVERY = 22, 4, 2, 2
STEPS = 2 * EPOCHS * 6


class Noisy(Dataset[tuple[Tensor, int]]):
    """Images with noise from each of the three sources of random numbers."""

    def __len__(self) -> int:
        return SAMPLES

    def __getitem__(self, i: int) -> tuple[Tensor, int]:
        noise = torch.rand(()).item() + float(np.random.rand()) + random.random()
        return torch.arange(16.0).reshape(1, 4, 4) * (i % 3 - 1) / 16 + noise / 10, i % 3


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Dropout(0.2), nn.Linear(16, 3)
    )


def run(folder: Path) -> None:
    """Float, then choi2020, kept in FOLDER/run.ckpt, ending in FOLDER/out.lowbit."""
    torch.set_num_threads(1)
    random.seed(0)
    np.random.seed(0)
    kept = Checkpoint(folder / "run.ckpt", steps=EVERY, minutes=60)
    plans = Plan(EPOCHS, BATCH, 0.01), Plan(EPOCHS, BATCH, 0.01)

    def tell(stage: str, at: Progress | None) -> None:
        if at is not None:
            print(f"{stage} {at.step}/{at.steps}", flush=True)

    report = lowbit.compile(net(), Data(Noisy(), Noisy()), "choi2020", Effort(*plans, checkpoint=kept), tell)
    report.compiled.save(folder / "out.lowbit")


if __name__ == "__main__":
    run(Path(sys.argv[1]))
