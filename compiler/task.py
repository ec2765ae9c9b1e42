"""Task, the one record of what a model is trained for: its loss, its measure, and what it asks of the data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor

from .contract import Options
from .errors import UserError
from .recipe import configured
from .registry import members

PACKAGE = f"{__package__}.tasks"


@dataclass(frozen=True)
class Task:
    """What a model is trained for. The file's name is the task's name, its docstring says the rest.

    measure: what a model is judged by, such as "accuracy"; more is better.   target: a sample's target, in words.
    loss: (outputs, targets, options) -> a scalar.
    imitation: (outputs, a teacher's outputs for the same samples, options) -> a scalar, least where the two are equal.
    score: (outputs, targets, options) -> one number a sample, of shape (N,); the measure is their mean.
    shown: the measure as a person reads it, such as "99.44 %".
    check_outputs: (outputs, targets, name, options); raises UserError unless the outputs for a batch of the `name` data
        are such as the loss takes.
    check_targets: (targets, outputs, name, options); raises UserError for a target that the outputs of a batch could
        not meet.   options: how the loss and the score are taken.
    """

    measure: str
    target: str
    loss: Callable[[Tensor, Tensor, Any], Tensor]
    imitation: Callable[[Tensor, Tensor, Any], Tensor]
    score: Callable[[Tensor, Tensor, Any], Tensor]
    shown: Callable[[float], str]
    check_outputs: Callable[[Any, Tensor, str, Any], None]
    check_targets: Callable[[Tensor, Tensor, str, Any], None]
    options: Options = field(default_factory=Options)

    def check(self, outputs: Any, targets: Tensor, name: str = "given") -> None:
        """Raise UserError unless a batch of the `name` data can be trained and judged."""
        self.check_outputs(outputs, targets, name, self.options)
        self.check_targets(targets, outputs, name, self.options)

    def configured(self, given: Mapping[str, Any]) -> Task:
        """The task with these options. Raises UserError that names a wrong one."""
        return replace(self, options=configured(type(self.options), given, "task"))


def tasks() -> Mapping[str, Task]:
    """Every task, by name."""
    return members(PACKAGE, Task)


def task(name: str, **options: Any) -> Task:
    """A task by its name, with options. Raises UserError where there is none, or an option is wrong."""
    if name not in tasks():
        raise UserError(f"no task is called '{name}'", fix=f"one of: {', '.join(tasks())}")
    return tasks()[name].configured(options)
