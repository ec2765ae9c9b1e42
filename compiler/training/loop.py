"""The loop: Adam, the task's loss and the penalties of a Prepared, kept and taken up at any step."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from ..checkpoint import Checkpoint, Place, Stage, held_back
from ..errors import UserError
from ..prepared import Prepared
from ..recipe import dump
from ..task import Task
from ..tasks import classification
from .data import fingerprint, length, split, taken
from .data import steps as steps_of

CONTENT = "content of the data, by its first and last samples,"


@dataclass(frozen=True)
class Plan:
    """How to train with Adam.   seed: of the order of the samples and of dropout.

    distill: the share of the loss that is the imitation of a teacher, in [0, 1]; the rest is the task's own.
    schedule: the learning rate goes from `lr` to zero by a cosine, or stays.
    """

    epochs: int
    batch_size: int = 64
    lr: float = 1e-3
    weight_decay: float = 0.0
    seed: int = 0
    distill: float = 0.0
    schedule: Literal["cosine", "constant"] = "cosine"

    def steps(self, dataset: Dataset[Any]) -> int:
        """Optimizer steps of the whole training; a last batch of one sample is no step."""
        return self.epochs * steps_of(dataset, self.batch_size)


@dataclass(frozen=True)
class Progress:
    """What a training can tell after each step.   module: what is trained, to look inside."""

    step: int
    steps: int
    loss: float
    penalty: float
    module: nn.Module


Report = Callable[[Progress], None]


def train(
    module: nn.Module,
    dataset: Dataset[Any],
    plan: Plan,
    report: Report = lambda progress: None,
    checkpoint: Stage | Path | None = None,
    task: Task = classification.TASK,
    teacher: nn.Module | None = None,
) -> None:
    """Train a model in place for a task, with the penalties of a Prepared.

    teacher: the model that is imitated where the plan says so, in eval mode; it stays as it is.
    checkpoint: a stage of a Checkpoint, or a file for this training alone. Where it holds something, training goes on
    from there to the same weights as an unbroken run: the random numbers of torch, numpy and Python are kept too.
    Raises UserError for no data, no teacher to imitate, no parameter to train, an unknown schedule, data of another
    task, a checkpoint of another training, or a loss that is no longer finite.
    """
    if not length(dataset):
        raise UserError("the training data is empty")
    if plan.distill and teacher is None:
        raise UserError(f"the plan says distill={plan.distill:g}, and there is no teacher", fix="give the float model")
    torch.manual_seed(plan.seed)
    if not any(parameter.requires_grad for parameter in module.parameters()):
        if plan.epochs:
            raise UserError("the model has no parameter to train", fix="train it for 0 epochs, or unfreeze a parameter")
        return
    stage = Checkpoint(checkpoint).stage() if isinstance(checkpoint, Path) else checkpoint
    run = _Run(module, dataset, plan, task, teacher)
    place = stage.restore(run.parts, run.about) if stage is not None else Place()
    module.train()
    with held_back(stage is not None) as stopped:
        for progress in run.steps(place):
            report(progress)
            if stage is not None and (stopped() or stage.due(progress.step)):
                stage.save(run.parts, run.about, run.place)
            if stopped():
                raise KeyboardInterrupt
    if stage is not None and (place.epoch < plan.epochs or not stage.begun):  # 0 epochs are a training, too
        stage.close(run.parts, run.about, Place(plan.epochs))


class _Run:
    """A training in its course: what changes, by name, and where it is."""

    def __init__(
        self, module: nn.Module, dataset: Dataset[Any], plan: Plan, task: Task, teacher: nn.Module | None
    ) -> None:
        self.module, self.dataset, self.plan, self.task, self.teacher = module, dataset, plan, task, teacher
        self.per_epoch = steps_of(dataset, plan.batch_size)
        self.optimizer = torch.optim.Adam(_groups(module, plan))
        self.schedule, self.place = _schedule(self.optimizer, plan, plan.steps(dataset)), Place()
        self.parts: Mapping[str, Any] = {"module": module, "optimizer": self.optimizer, "schedule": self.schedule}

    @property
    def about(self) -> dict[str, Any]:
        """What must be the same for a checkpoint to go on."""
        options = {f"task.{name}": getattr(self.task.options, name) for name in self.task.options.__struct_fields__}
        recipe = {"recipe": dump(self.module.recipe)} if isinstance(self.module, Prepared) else {}
        samples = length(self.dataset)
        data = {"samples": samples, CONTENT: self.content}
        return {**asdict(self.plan), **data, "measure": self.task.measure, **options, **recipe}

    @cached_property
    def content(self) -> str:
        """Read once, before the training moves what the dataset may draw from."""
        return fingerprint(self.dataset)

    def steps(self, place: Place) -> Iterator[Progress]:
        """Train from that place on, a step at a time."""
        for epoch in range(place.epoch, self.plan.epochs):
            order = torch.randperm(length(self.dataset)) if place.order is None else place.order
            chosen = split(order, self.plan.batch_size, training=True)[place.batch :]
            for batch, (x, y) in enumerate(taken(self.dataset, chosen), place.batch + 1):
                loss, penalty = self._step(x, y)
                last = batch == self.per_epoch
                self.place = Place(epoch + 1) if last else Place(epoch, batch, order)
                yield Progress(
                    epoch * self.per_epoch + batch, self.plan.epochs * self.per_epoch, loss, penalty, self.module
                )
            place = Place(epoch + 1)

    def _step(self, x: Tensor, y: Tensor) -> tuple[float, float]:
        outputs = _outputs(self.module, x)
        self.task.check(outputs, y)
        loss = self._loss(x, y, outputs)
        penalty = self.module.regularization() if isinstance(self.module, Prepared) else torch.zeros(())
        told = float(loss.detach()), float(penalty.detach())
        _check_finite(*told)
        torch.autograd.backward(loss + penalty)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if isinstance(self.module, Prepared):
            self.module.step()
        self.schedule.step()
        return told

    def _loss(self, x: Tensor, y: Tensor, outputs: Tensor) -> Tensor:
        task, share = self.task, self.plan.distill
        loss = task.loss(outputs, y, task.options)
        if not share or self.teacher is None:
            return loss
        with torch.no_grad():
            example = self.teacher(x)
        return (1 - share) * loss + share * task.imitation(outputs, example, task.options)


def _groups(module: nn.Module, plan: Plan) -> list[dict[str, Any]]:
    if isinstance(module, Prepared):
        return module.parameter_groups(plan.lr, plan.weight_decay)
    return [{"params": list(module.parameters()), "lr": plan.lr, "weight_decay": plan.weight_decay}]


def _schedule(optimizer: torch.optim.Optimizer, plan: Plan, steps: int) -> torch.optim.lr_scheduler.LRScheduler:
    match plan.schedule:
        case "cosine":
            return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(1, steps))
        case "constant":
            return torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1.0)
    raise UserError(f"no schedule of the learning rate is called '{plan.schedule}'", fix="one of: cosine, constant")


def _check_finite(loss: float, penalty: float) -> None:
    """Raise UserError for a loss of which nothing can be learned: the weights would be no numbers, and stay so."""
    if not math.isfinite(loss + penalty):
        why = f"the loss of the task is {loss:g}, the penalties are {penalty:g}"
        fix = "take a smaller learning rate, or look for such values in the data"
        raise UserError("the training has diverged", why=why, fix=fix)


def _outputs(module: nn.Module, x: Tensor) -> Tensor:
    try:
        outputs: Tensor = module(x)
    except ValueError as error:
        if len(x) > 1:
            raise
        fix = "train with more samples, and 2 or more in a batch"
        raise UserError("the model cannot be trained on a single sample", why=str(error), fix=fix) from None
    return outputs
