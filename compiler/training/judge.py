"""How good a model is at its task, and whether model, data and task fit each other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset, TensorDataset

from ..errors import UserError
from ..task import Task
from ..tasks import classification
from .data import Data, batches, example, length


def judged(outputs: Callable[[Tensor], Any], dataset: Dataset[Any], task: Task, batch_size: int = 500) -> float:
    """The task's measure: the mean score over the whole dataset. Raises UserError for no data, or data of another task.

    outputs: the model's outputs for a batch of inputs, a tensor or an array.
    """
    if not length(dataset):
        raise UserError("the test data is empty")
    total = 0.0
    with torch.no_grad():
        for x, y in batches(dataset, batch_size):
            given = torch.as_tensor(outputs(x))
            task.check(given, y)
            total += float(task.score(given, y, task.options).sum())
    return total / length(dataset)


def accuracy(scores: Callable[[Tensor], Any], dataset: Dataset[Any], batch_size: int = 500) -> float:
    """The share of samples whose class has the highest score. Raises UserError for no data."""
    return judged(scores, dataset, classification.TASK, batch_size)


def check_task(module: nn.Module, data: Data, task: Task = classification.TASK) -> None:
    """Raise UserError unless the module, in eval mode, takes a batch of either set and gives what the task is about.

    Of tensors in memory all targets are looked at, of other datasets those of the first batch.
    """
    shapes = []
    for name, dataset in (("training", data.train), ("test", data.test)):
        x, y = example(dataset, 2, name)
        shapes.append(tuple(x.shape[1:]))
        if shapes[0] != shapes[-1]:
            what = f"the test inputs have shape {shapes[1]}, the training inputs {shapes[0]}"
            raise UserError(what, fix="prepare both sets alike")
        outputs = _evaluated(module, x, name)
        task.check(outputs, y, name)
        if isinstance(dataset, TensorDataset):
            task.check_targets(dataset.tensors[1], outputs, name, task.options)


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
