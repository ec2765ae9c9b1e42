"""The callback of the Trainer of transformers, with the real package: what the plain loop does; resumed too."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lowbit
import pytest
import torch
import torch.nn.functional as F
from lowbit import UserError
from prepared import RESIDUAL, batch, prepared
from torch import Tensor, nn

MISSING = "transformers and accelerate are not installed: pip install 'lowbit[transformers]'"
transformers = pytest.importorskip("transformers", reason=MISSING)
pytest.importorskip("accelerate", reason=MISSING)
from lowbit.integrations.transformers import LowbitCallback, parameter_groups  # noqa: E402

pytestmark = [
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]
SKETCH = RESIDUAL[2]  # its norm is in eval mode
X, Y = batch(SKETCH, size=32)
SIZE = 4


class Classifier(nn.Module):
    """As models of transformers do, it returns its loss.   form: of what it returns."""

    def __init__(self, form: str = "dict") -> None:
        super().__init__()
        self.net, self.form = prepared(SKETCH, "choi2020"), form

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Any:
        scores = self.net(x)
        loss = F.cross_entropy(scores, labels) if labels is not None and self.form != "no loss" else None
        return (loss, scores) if self.form == "tuple" else {"loss": loss, "logits": scores}


class Counted(Classifier):
    """Its loss is of all items of a step together, so the Trainer divides it by nothing."""

    def forward(self, x: Tensor, labels: Tensor | None = None, num_items_in_batch: Any = None, **more: Any) -> Any:
        scores = self.net(x)
        loss = F.cross_entropy(scores, labels, reduction="sum") if labels is not None else None
        return {"loss": loss / (num_items_in_batch or len(x)) if loss is not None else None, "logits": scores}


def trainer(model: nn.Module, folder: Path, steps: int, accumulated: int = 1, **more: Any) -> Any:
    arguments = transformers.TrainingArguments(
        output_dir=str(folder), max_steps=steps, per_device_train_batch_size=SIZE, learning_rate=0.01, use_cpu=True,
        gradient_accumulation_steps=accumulated, lr_scheduler_type="constant", max_grad_norm=0.0, report_to="none",
        save_steps=4, logging_steps=2, disable_tqdm=True, seed=0, train_sampling_strategy="sequential", **more,
    )  # fmt: skip
    optimizer = torch.optim.AdamW(parameter_groups(model, 0.01, 1e-4))
    samples = [{"x": x, "labels": y} for x, y in zip(X, Y, strict=True)]
    return transformers.Trainer(
        model, arguments, train_dataset=samples, optimizers=(optimizer, None), callbacks=[LowbitCallback()]
    )


def plain(steps: int, accumulated: int) -> Classifier:
    """The loop of the README, over the same batches."""
    model = Classifier()
    optimizer = torch.optim.AdamW(parameter_groups(model, 0.01, 1e-4))
    model.train()
    given = list(zip(X.split(SIZE), Y.split(SIZE), strict=True)) * 2
    for first in range(0, steps * accumulated, accumulated):
        optimizer.zero_grad()
        for x, y in given[first : first + accumulated]:
            loss = F.cross_entropy(model.net(x), y) + model.net.regularization()
            (loss / accumulated).backward()
        optimizer.step()
        model.net.step()
    return model


def same(ours: nn.Module, theirs: nn.Module, tolerance: float = 0.0) -> None:
    states = dict(ours.state_dict()), dict(theirs.state_dict())
    torch.testing.assert_close(*states, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("form", ["dict", "tuple"])
def test_it_trains_as_the_plain_loop(form: str, tmp_path: Path) -> None:
    model = Classifier(form)
    trainer(model, tmp_path, 6).train()
    same(model, plain(6, 1))
    assert int(model.net.state_dict()["lowbit.step"]) == 6
    assert not model._forward_hooks
    lowbit.lower(model.net.eval())


def test_a_training_behind_one_that_failed_counts_penalties_once(tmp_path: Path) -> None:
    model = Classifier()
    failing = trainer(model, tmp_path, 6)
    failing.train_dataset = [{"labels": 1}] * SIZE
    with pytest.raises(TypeError, match="required positional argument: 'x'"):
        failing.train()
    trainer(model, tmp_path / "again", 6).train()
    same(model, plain(6, 1))
    assert not model._forward_hooks


@pytest.mark.parametrize("kind", [Classifier, Counted])
def test_accumulated_batches_are_one_step(kind: Callable[[], Classifier], tmp_path: Path) -> None:
    """Within the rounding of a sum that is divided in another place."""
    model = kind()
    trainer(model, tmp_path, 4, accumulated=2).train()
    same(model, plain(4, 2), tolerance=0.0 if kind is Classifier else 1e-4)


def test_scalars_are_in_the_logs(tmp_path: Path) -> None:
    runner = trainer(Classifier(), tmp_path, 4)
    runner.train()
    logs = [entry for entry in runner.state.log_history if "loss" in entry]
    assert logs
    for entry in logs:
        assert {"lowbit/penalty/msqe_weights", "lowbit/coefficient/msqe_weights", "lowbit/zeros"} <= entry.keys()


def test_it_resumes_in_the_middle_of_schedules(tmp_path: Path) -> None:
    trainer(Classifier(), tmp_path, 4).train()
    model = Classifier()
    trainer(model, tmp_path, 8).train(resume_from_checkpoint=str(tmp_path / "checkpoint-4"))
    same(model, plain(8, 1))


def test_what_the_penalties_could_not_join_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="returns no loss"):
        trainer(Classifier("no loss"), tmp_path, 2).train()
    arguments = SimpleNamespace(label_smoothing_factor=0.1)
    with pytest.raises(UserError, match="outside of the model"):
        LowbitCallback().on_train_begin(arguments, None, None, model=Classifier())


def test_the_trainers_own_optimizer_is_refused_where_it_decays_scales(tmp_path: Path) -> None:
    runner = trainer(Classifier(), tmp_path, 2, weight_decay=0.1)
    runner.optimizer = None
    with pytest.raises(UserError, match="weight decay") as caught:
        runner.train()
    assert "parameter_groups" in caught.value.fix
