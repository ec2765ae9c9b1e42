"""A Lightning callback: the penalties join the loss of `training_step`, schedules advance, and scalars are logged.

    trainer = lightning.Trainer(callbacks=[LowbitCallback()])

The module holds what `lowbit.prepare` returned, and `configure_optimizers` gives the optimizer
`parameter_groups(self, lr)`. Masks, scales, coefficients and the count of steps are in the module's state, so
`fit(ckpt_path=...)` resumes them.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import lightning.pytorch as lightning

from ..compiler.errors import UserError
from ..compiler.training.scalars import scalars
from .loop import check_groups, prepared_parts, regularization, step
from .loop import parameter_groups as parameter_groups

FIX = "give the optimizer parameter_groups(self, lr, weight_decay) of lowbit.integrations.lightning"


class LowbitCallback(lightning.Callback):
    """Trains the prepared modules of a LightningModule with automatic optimization and one optimizer.

    every: steps from one log of penalties, coefficients, zeros and bytes, as `lowbit/NAME`, to the next; 0: none.
    Raises UserError, before the first step, for a module without any, for manual optimization, and for weight decay on
    scales or coefficients.
    """

    def __init__(self, every: int = 50) -> None:
        super().__init__()
        self.every, self._steps = every, 0

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Put the penalties into the loss."""
        if stage != "fit":
            return
        prepared_parts(pl_module)
        if not pl_module.automatic_optimization:
            fix = (
                "add lowbit.integrations.loop.regularization(self) to the loss, and call its step(self), in your steps"
            )
            raise UserError("the callback cannot see the loss of manual optimization", fix=fix)
        inner = pl_module.training_step

        @functools.wraps(inner)
        def training_step(*args: Any, **kwargs: Any) -> Any:
            return _with_penalties(pl_module, inner(*args, **kwargs))

        pl_module.training_step = training_step

    def teardown(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Leave the module as it was."""
        if stage == "fit":
            pl_module.__dict__.pop("training_step", None)

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """Leave the module as it was, which Lightning does not ask for here: a next fit would count penalties twice."""
        self.teardown(trainer, pl_module, "fit")

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Look at the optimizer's groups, and at the step where a resumed training begins."""
        check_groups(pl_module, trainer.optimizers, FIX)
        self._steps = trainer.global_step

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Advance the schedules, if the optimizer took a step: it does not on each of several accumulated batches."""
        if trainer.global_step == self._steps:
            return
        self._steps = trainer.global_step
        step(pl_module)
        if self.every and self._steps % self.every == 0:
            pl_module.log_dict({f"lowbit/{name}": value for name, value in scalars(pl_module).items()})


def _with_penalties(module: Any, output: Any) -> Any:
    """The output of a training step with the penalties in its loss; a step that is skipped stays so."""
    if output is None:
        return None
    if isinstance(output, Mapping):
        return {**output, "loss": output["loss"] + regularization(module)}
    return output + regularization(module)
