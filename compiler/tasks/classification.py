"""Classification: cross-entropy, judged by accuracy.

    loss = -log softmax(scores)[class], mean over the batch      score = 1 where the class has the highest score, else 0
    imitation = T^2 KL(softmax(teacher's scores / T) || softmax(scores / T)), mean over the batch

The last is the distillation of Hinton et al. 2015, section 2; T^2 keeps its gradients as large for every T. A model
gives scores (N, classes); a target is an integer in 0..classes-1.
"""

from __future__ import annotations

from typing import Annotated, Any

import torch
import torch.nn.functional as F
from msgspec import Meta
from torch import Tensor

from ..contract import Options
from ..errors import UserError
from ..task import Task


class Settings(Options, frozen=True):
    """temperature: T, by which scores are divided where a teacher is imitated."""

    temperature: Annotated[float, Meta(gt=0)] = 2.0


def _loss(scores: Tensor, y: Tensor, options: Options) -> Tensor:
    return F.cross_entropy(scores, y.long())


def _imitation(scores: Tensor, teacher: Tensor, options: Settings) -> Tensor:
    mine, its = (F.log_softmax(one.float() / options.temperature, 1) for one in (scores, teacher))
    return options.temperature**2 * F.kl_div(mine, its, reduction="batchmean", log_target=True)


def _hit(scores: Tensor, y: Tensor, options: Options) -> Tensor:
    return (scores.argmax(1) == y).double()


def _check_scores(scores: Any, y: Tensor, name: str, options: Options) -> None:
    given = f"shape {tuple(scores.shape)}" if isinstance(scores, Tensor) else f"a {type(scores).__name__}"
    if not isinstance(scores, Tensor) or scores.dim() != 2 or len(scores) != len(y):
        fix = "return one tensor (samples, classes) from `forward`; or choose another task; or train in your own loop"
        raise UserError(f"the model gives {given} for {len(y)} samples, not a score of each class", fix=fix)


def _check_labels(y: Tensor, scores: Tensor, name: str, options: Options) -> None:
    if y.dim() != 1 or y.is_floating_point() or y.is_complex() or y.dtype == torch.bool:
        what = f"the labels of the {name} data are {y.dtype} of shape {tuple(y.shape)}, not one integer a sample"
        raise UserError(what, fix="y.long(), one axis")
    classes = scores.shape[1]
    if len(y) and not 0 <= int(y.min()) <= int(y.max()) < classes:
        what = f"the {name} data has labels in [{int(y.min())}, {int(y.max())}], the model scores {classes} classes"
        raise UserError(what, fix=f"number the classes from 0 to {classes - 1}, or give the model more outputs")


TASK = Task(
    measure="accuracy",
    target="its class, an integer",
    loss=_loss,
    imitation=_imitation,
    score=_hit,
    shown=lambda share: f"{100 * share:.2f} %",
    check_outputs=_check_scores,
    check_targets=_check_labels,
    options=Settings(),
)
