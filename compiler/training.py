"""The ordinary training loop, for those who have none of their own: what `compile` runs and the benchmarks share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

from .checkpoint import restore, save
from .errors import UserError
from .prepared import Prepared


@dataclass(frozen=True)
class Data:
    """A classification task: datasets of (input, class), to train on and to be judged by."""

    train: Dataset[Any]
    test: Dataset[Any]


@dataclass(frozen=True)
class Plan:
    """How to train: Adam with a cosine from `lr` to zero.   seed: of the order of the samples and of dropout."""

    epochs: int
    batch_size: int = 64
    lr: float = 1e-3
    weight_decay: float = 0.0
    seed: int = 0

    def steps(self, dataset: Dataset[Any]) -> int:
        """Optimizer steps of the whole training."""
        return self.epochs * -(-_length(dataset) // self.batch_size)


@dataclass(frozen=True)
class Progress:
    """What a training can tell after each step."""

    step: int
    steps: int
    loss: float
    penalty: float


def train(
    module: nn.Module,
    dataset: Dataset[Any],
    plan: Plan,
    report: Callable[[Progress], None] = lambda progress: None,
    checkpoint: Path | None = None,
) -> None:
    """Train a classifier in place with cross-entropy, and the penalties of a Prepared.

    checkpoint: a file written after each epoch; where it exists, training goes on from it to the same weights as an
    unbroken run.   Raises UserError for no data, or a checkpoint of another training.
    """
    if not _length(dataset):
        raise UserError("the training data is empty")
    torch.manual_seed(plan.seed)
    steps = plan.steps(dataset)
    optimizer = torch.optim.Adam(_groups(module, plan))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(1, steps))
    parts = {"module": module, "optimizer": optimizer, "schedule": schedule}
    done = restore(checkpoint, parts) if checkpoint is not None else 0
    module.train()
    step = done * (steps // plan.epochs) if plan.epochs else 0
    for epoch in range(done, plan.epochs):
        for x, y in batches(dataset, plan.batch_size, shuffle=True):
            step += 1
            loss, penalty = _step(module, x, y, optimizer)
            schedule.step()
            report(Progress(step, steps, loss, penalty))
        if checkpoint is not None:
            save(checkpoint, parts, epoch + 1)


def _groups(module: nn.Module, plan: Plan) -> list[dict[str, Any]]:
    if isinstance(module, Prepared):
        return module.parameter_groups(plan.lr, plan.weight_decay)
    return [{"params": list(module.parameters()), "lr": plan.lr, "weight_decay": plan.weight_decay}]


def _step(module: nn.Module, x: Tensor, y: Tensor, optimizer: torch.optim.Optimizer) -> tuple[float, float]:
    loss = F.cross_entropy(module(x), y)
    penalty = module.regularization() if isinstance(module, Prepared) else torch.zeros(())
    torch.autograd.backward(loss + penalty)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    if isinstance(module, Prepared):
        module.step()
    return float(loss.detach()), float(penalty.detach())


def batches(dataset: Dataset[Any], size: int, shuffle: bool = False) -> Iterator[tuple[Tensor, Tensor]]:
    """The dataset in batches; the last one may be smaller. Tensors in memory are sliced, not collated one by one."""
    if not isinstance(dataset, TensorDataset):
        yield from DataLoader(dataset, size, shuffle=shuffle)
        return
    x, y = dataset.tensors
    order = (torch.randperm(len(x)) if shuffle else torch.arange(len(x))).to(x.device)
    for chosen in torch.split(order, size):
        yield x[chosen], y[chosen]


def accuracy(scores: Callable[[Tensor], Any], dataset: Dataset[Any], batch_size: int = 500) -> float:
    """The share of samples whose class has the highest score. Raises UserError for no data."""
    if not _length(dataset):
        raise UserError("the test data is empty")
    hits = 0
    with torch.no_grad():
        for x, y in batches(dataset, batch_size):
            hits += int((torch.as_tensor(scores(x)).argmax(1) == y).sum())
    return hits / _length(dataset)


def _length(dataset: Dataset[Any]) -> int:
    return len(dataset)  # type: ignore[arg-type]
