"""The ordinary training loop, for those who have none of their own: what `compile` runs and the benchmarks share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from .checkpoint import restore, save
from .errors import UserError
from .prepared import Prepared

PAIR = "each sample of a dataset is a pair: the input, a tensor, and its class, an integer"


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
        """Optimizer steps of the whole training; a last batch of one sample is no step, see `batches`."""
        full, rest = divmod(_length(dataset), self.batch_size)
        return self.epochs * (full + (rest > 1 or (rest == 1 and not full)))


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
    unbroken run.   Raises UserError for no data, no parameter to train, or a checkpoint of another training.
    """
    if not _length(dataset):
        raise UserError("the training data is empty")
    torch.manual_seed(plan.seed)
    if not any(parameter.requires_grad for parameter in module.parameters()):
        if plan.epochs:
            raise UserError("the model has no parameter to train", fix="train it for 0 epochs, or unfreeze a parameter")
        return
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
    scores = _scores(module, x)
    _check_scores(scores, y)
    loss = F.cross_entropy(scores, y.long())
    penalty = module.regularization() if isinstance(module, Prepared) else torch.zeros(())
    torch.autograd.backward(loss + penalty)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    if isinstance(module, Prepared):
        module.step()
    return float(loss.detach()), float(penalty.detach())


def _scores(module: nn.Module, x: Tensor) -> Tensor:
    try:
        scores: Tensor = module(x)
    except ValueError as error:
        if len(x) > 1:
            raise
        fix = "train with more samples, and 2 or more in a batch"
        raise UserError("the model cannot be trained on a single sample", why=str(error), fix=fix) from None
    return scores


def batches(dataset: Dataset[Any], size: int, shuffle: bool = False) -> Iterator[tuple[Tensor, Tensor]]:
    """The dataset in batches; the last one may be smaller. Tensors in memory are sliced, not collated one by one.

    shuffle: for training; then a last batch of one sample is left out unless it is the whole set, since batch norm
    cannot be trained on it.   Raises UserError for a dataset that does not give pairs.
    """
    for x, y in _pairs(dataset, size, shuffle):
        if not (shuffle and len(x) == 1 < min(size, _length(dataset))):
            yield x, y


def _pairs(dataset: Dataset[Any], size: int, shuffle: bool) -> Iterator[tuple[Tensor, Tensor]]:
    if not isinstance(dataset, TensorDataset):
        for batch in DataLoader(dataset, size, shuffle=shuffle):
            yield _pair(batch)
        return
    x, y = _pair(dataset.tensors)
    order = (torch.randperm(len(x)) if shuffle else torch.arange(len(x))).to(x.device)
    for chosen in torch.split(order, size):
        yield x[chosen], y[chosen]


def _pair(batch: Any) -> tuple[Tensor, Tensor]:
    if isinstance(batch, (list, tuple)) and len(batch) == 2 and all(isinstance(part, Tensor) for part in batch):
        return batch[0], batch[1]
    raise UserError("a sample of the data is not a pair of an input and a class", fix=PAIR)


def accuracy(scores: Callable[[Tensor], Any], dataset: Dataset[Any], batch_size: int = 500) -> float:
    """The share of samples whose class has the highest score. Raises UserError for no data."""
    if not _length(dataset):
        raise UserError("the test data is empty")
    hits = 0
    with torch.no_grad():
        for x, y in batches(dataset, batch_size):
            given = torch.as_tensor(scores(x))
            _check_scores(given, y)
            hits += int((given.argmax(1) == y).sum())
    return hits / _length(dataset)


def _length(dataset: Dataset[Any]) -> int:
    try:
        if not isinstance(dataset, IterableDataset):
            return len(dataset)  # type: ignore[arg-type]
    except (TypeError, NotImplementedError):
        pass
    fix = "give a dataset with `__len__` and `__getitem__`, such as torch.utils.data.TensorDataset"
    raise UserError(f"a {type(dataset).__name__} has no length and no order to shuffle", fix=fix)


def example(dataset: Dataset[Any], size: int, name: str) -> tuple[Tensor, Tensor]:
    """The first samples of the dataset called `name`. Raises UserError where it gives none, or no pairs."""
    if not _length(dataset):
        raise UserError(f"the {name} data is empty")
    try:
        return next(batches(dataset, size))
    except UserError:
        raise
    except Exception as error:  # the user's own dataset can fail in any way
        why = f"{type(error).__name__}: {error}"
        raise UserError(f"no batch can be made of the {name} data", why=why, fix=PAIR) from error


def check_task(module: nn.Module, data: Data) -> None:
    """Raise UserError unless the module, in eval mode, takes a batch of either set and gives scores of its classes.

    Of tensors in memory all labels are looked at, of other datasets those of the first batch.
    """
    shapes = []
    for name, dataset in (("training", data.train), ("test", data.test)):
        x, y = example(dataset, 2, name)
        shapes.append(tuple(x.shape[1:]))
        if shapes[0] != shapes[-1]:
            what = f"the test inputs have shape {shapes[1]}, the training inputs {shapes[0]}"
            raise UserError(what, fix="prepare both sets alike")
        scores = _evaluated(module, x, name)
        _check_scores(scores, y, name)
        if isinstance(dataset, TensorDataset):
            _check_labels(dataset.tensors[1], scores.shape[1], name)


@torch.no_grad()
def _evaluated(module: nn.Module, x: Tensor, name: str) -> Any:
    modes = {part: part.training for part in module.modules()}
    module.eval()
    try:
        return module(x)
    except Exception as error:  # the user's own forward can fail in any way
        why = f"{type(error).__name__}: {error}"
        raise UserError(f"the model fails on inputs of the {name} data, of shape {tuple(x.shape)}", why=why) from error
    finally:
        for part, training in modes.items():
            part.training = training


def _check_scores(scores: Any, y: Tensor, name: str = "given") -> None:
    given = f"shape {tuple(scores.shape)}" if isinstance(scores, Tensor) else f"a {type(scores).__name__}"
    if not isinstance(scores, Tensor) or scores.dim() != 2 or len(scores) != len(y):
        fix = "return one tensor (samples, classes) from `forward`; train any other task in a loop of your own"
        raise UserError(f"the model gives {given} for {len(y)} samples, not a score of each class", fix=fix)
    _check_labels(y, scores.shape[1], name)


def _check_labels(y: Tensor, classes: int, name: str) -> None:
    if y.dim() != 1 or y.is_floating_point() or y.is_complex() or y.dtype == torch.bool:
        shape = f"{y.dtype} of shape {tuple(y.shape)}"
        raise UserError(
            f"the labels of the {name} data are {shape}, not one integer a sample", fix="y.long(), one axis"
        )
    if len(y) and not 0 <= int(y.min()) <= int(y.max()) < classes:
        what = f"the {name} data has labels in [{int(y.min())}, {int(y.max())}], the model scores {classes} classes"
        raise UserError(what, fix=f"number the classes from 0 to {classes - 1}, or give the model more outputs")
