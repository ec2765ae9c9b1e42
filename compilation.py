"""compile, the whole way: a model trained in float, then under a recipe, lowered, and judged at each of the three."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from .api import calibrate, deployed, lower, prepare, read_recipe
from .backends.compiled import Compiled
from .backends.lowering.lower import lower as lower_graph
from .compiler.checkpoint import Checkpoint, Stage
from .compiler.pipeline import Entry
from .compiler.prepared import Prepared
from .compiler.recipe import Recipe
from .compiler.task import Task
from .compiler.tasks import classification
from .compiler.training import Data, Plan, Progress, batches, check_task, example, judged, train

CALIBRATION_BATCHES = 4
FLOAT_PLAN, RECIPE_PLAN = Plan(epochs=30), Plan(epochs=40)


@dataclass(frozen=True)
class Report:
    """What `compile` made and measured, over the whole test set, by the measure of the task.

    float_score: of the model as it was given or trained.   prepared_score: with fake quantization.
    parameters: of the float model, 4 bytes each in float32.   ledger: what each pass did, before training and after.
    """

    compiled: Compiled
    float_score: float
    prepared_score: float
    parameters: int
    ledger: tuple[Entry, ...]


@dataclass(frozen=True)
class Effort:
    """How `compile` trains: the float model first (0 epochs: it comes trained), then under the recipe; for what task;
    and where its state is kept, to go on from."""

    float_plan: Plan = FLOAT_PLAN
    plan: Plan = RECIPE_PLAN
    task: Task = classification.TASK
    checkpoint: Checkpoint | Path | None = None

    def stage(self, name: str) -> Stage | None:
        """The part of the checkpoint that belongs to one of the two trainings."""
        kept = Checkpoint(self.checkpoint) if isinstance(self.checkpoint, Path) else self.checkpoint
        return kept.stage(name) if kept is not None else None


EFFORT = Effort()


def compile(
    model: nn.Module,
    data: Data,
    recipe: str | Path | Recipe,
    effort: Effort = EFFORT,
    report: Callable[[str, Progress | None], None] = lambda stage, progress: None,
) -> Report:
    """Train a model in float, then under a recipe (unless it is a post-training one), and lower it.

    The model is trained in place.
    report: told the stage and, within a training, the progress.   Raises what prepare, train and lower raise, and
    UserError for data that the model cannot be trained or judged on.
    """
    prepared, score = trained(model, data, recipe, effort, report)
    report("lowering", None)
    frozen = deployed(prepared)
    compiled, ledger = Compiled(lower_graph(frozen.graph)), prepared.ledger + frozen.ledger
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return Report(compiled, score, judged(prepared, data.test, effort.task), parameters, ledger)


def trained(
    model: nn.Module,
    data: Data,
    recipe: str | Path | Recipe,
    effort: Effort = EFFORT,
    report: Callable[[str, Progress | None], None] = lambda stage, progress: None,
) -> tuple[Prepared, float]:
    """As far as `compile` trains: the prepared model, ready to be lowered, and what the float model scores."""
    task = effort.task
    x, _ = example(data.train, 2, "training")
    chosen = read_recipe(recipe)
    report("preparing", None)
    trial = prepare(model, (x,), chosen, steps=1)  # whatever cannot be lowered is said before the first epoch
    if trial.graph.leaves:
        lower(trial)  # which refuses: to train with leaves is for loops of one's own
    check_task(model, data, task)
    stage = effort.stage("float")
    train(model, data.train, effort.float_plan, lambda at: report("training in float", at), stage, task)
    score = judged(model.eval(), data.test, task)
    prepared = prepare(model, (x,), chosen, steps=max(1, effort.plan.steps(data.train)))  # 0 steps: nothing to ramp
    _calibrate(prepared, data, effort, report)
    if not chosen.post_training:
        stage = effort.stage("recipe")
        told = f"training under {chosen.name}"
        train(prepared, data.train, effort.plan, lambda at: report(told, at), stage, task, teacher=model)
    return prepared.eval(), score


def _calibrate(prepared: Prepared, data: Data, effort: Effort, report: Callable[[str, Progress | None], None]) -> None:
    report("calibrating", None)
    some = _some_inputs(data, effort.plan.batch_size)
    calibrate(prepared, some, lambda stage, done: report(f"{stage}, {done} of {len(some)} batches", None))


def _some_inputs(data: Data, batch_size: int) -> list[torch.Tensor]:
    return [x for (x, _), _ in zip(batches(data.train, batch_size), range(CALIBRATION_BATCHES), strict=False)]


def measured(compiled: Compiled, data: Data, target: str, task: Task = classification.TASK) -> float:
    """The measure of the task of the integer program on the test set, run by that target."""
    return judged(lambda x: compiled.run(x, target=target)[0], data.test, task)
