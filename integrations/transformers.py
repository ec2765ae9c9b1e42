"""A callback for the Trainer of Hugging Face transformers: penalties in the loss, schedules, scalars in the logs.

    optimizer = torch.optim.AdamW(parameter_groups(model, lr))
    Trainer(model, args, optimizers=(optimizer, None), callbacks=[LowbitCallback()], ...)

The model holds what `lowbit.prepare` returned, or is it, and returns its loss, as models of transformers do. Masks,
scales, coefficients and the count of steps are in the model's state, so `resume_from_checkpoint` resumes them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from weakref import WeakKeyDictionary

import transformers
from torch import nn

from ..compiler.errors import UserError
from ..compiler.training.scalars import scalars
from .loop import check_groups, prepared_parts, regularization, step
from .loop import parameter_groups as parameter_groups

FIX = "Trainer(optimizers=(torch.optim.AdamW(parameter_groups(model, lr, weight_decay)), None)), of this module"

_HOOKS: WeakKeyDictionary[nn.Module, Any] = WeakKeyDictionary()
"""What adds the penalties to the loss of each model in training: one, whichever callback put it there."""


class LowbitCallback(transformers.TrainerCallback):
    """Trains the prepared modules of a model.   Raises UserError, when training begins, for a model without any, for
    label smoothing, of which the model's own loss knows nothing, and for weight decay on scales or coefficients.

    Scalars go into the log and `state.log_history` as `lowbit/NAME`. Reporters, such as that of TensorBoard, are told
    before this callback, and see them only where it stands first: `trainer.callback_handler.callbacks.insert(0, ...)`.
    """

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **others: Any) -> None:
        """Put the penalties into the loss."""
        prepared_parts(model)
        if args.label_smoothing_factor:
            raise UserError(
                "the loss is made outside of the model", why="label_smoothing_factor is set", fix="unset it"
            )
        check_groups(model, [others["optimizer"]], FIX)
        _remove(model)  # a training that failed has not come to its end
        _HOOKS[model] = model.register_forward_hook(_penalized(args.gradient_accumulation_steps), with_kwargs=True)

    def on_optimizer_step(self, args: Any, state: Any, control: Any, model: Any = None, **others: Any) -> None:
        """Advance the schedules."""
        step(model)

    def on_log(
        self,
        args: Any,
        state: Any,
        control: Any,
        logs: dict[str, float] | None = None,
        model: Any = None,
        **others: Any,
    ) -> None:
        """Add the scalars to a log of the training."""
        if logs is not None and "loss" in logs and state.log_history:
            added = {f"lowbit/{name}": value for name, value in scalars(model).items()}
            logs.update(added)
            state.log_history[-1].update(added)

    def on_train_end(self, args: Any, state: Any, control: Any, model: Any = None, **others: Any) -> None:
        """Leave the model as it was."""
        _remove(model)


def _remove(model: nn.Module) -> None:
    if (hook := _HOOKS.pop(model, None)) is not None:
        hook.remove()


def _penalized(accumulated: int) -> Any:
    """A forward hook that adds the penalties to the loss of a training forward.

    The Trainer divides a loss by the number of batches that it accumulates, unless the model was told how many items
    all of them have.
    """

    def hook(model: nn.Module, args: Any, kwargs: Mapping[str, Any], output: Any) -> Any:
        if not model.training:
            return output
        share = accumulated if kwargs.get("num_items_in_batch") is not None else 1
        penalty = regularization(model) / share
        if isinstance(output, tuple):
            return (output[0] + penalty, *output[1:])
        if not isinstance(output, Mapping) or output.get("loss") is None:
            fix = "return {'loss': ..., 'logits': ...} from `forward` for given labels; leave compute_loss_func out"
            raise UserError("the model returns no loss, to which the penalties could be added", fix=fix)
        output["loss"] = output["loss"] + penalty  # type: ignore[index]
        return output

    return hook
