"""The Lightning callback, with the real package: bit for bit what the plain loop does; resumed too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lowbit
import pytest
import torch
import torch.nn.functional as F
from lowbit import Prepared, UserError
from prepared import RESIDUAL, STEPS, batch, prepared
from torch import Tensor, nn
from torch.utils.data import DataLoader

MISSING = "lightning is not installed: pip install 'lowbit[lightning]'"
lightning = pytest.importorskip("lightning.pytorch", reason=MISSING)
from lowbit.integrations.lightning import LowbitCallback, parameter_groups  # noqa: E402

pytestmark = [
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]
SKETCH = RESIDUAL[2]  # its norm is in eval mode
BATCHES = [batch(SKETCH, seed=seed) for seed in range(8)]


class Task(lightning.LightningModule):  # type: ignore[misc]
    """A prepared module beside a layer of its own; `form`: what a training step returns."""

    def __init__(self, form: str = "tensor", decay: float = 0.0) -> None:
        super().__init__()
        self.net, self.head = prepared(SKETCH, "choi2020"), nn.Linear(3, 3)
        nn.init.eye_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        self.form, self.decay = form, decay

    def loss(self, x: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(self.head(self.net(x)), y)

    def training_step(self, given: Any, number: int) -> Any:
        loss = self.loss(*given)
        return {"loss": loss, "more": 1} if self.form == "dict" else loss

    def configure_optimizers(self) -> Any:
        groups = parameter_groups(self, 0.01, 1e-4) if not self.decay else self.parameters()
        return torch.optim.Adam(groups, lr=0.01, weight_decay=self.decay)


def trainer(folder: Path, epochs: int, accumulated: int = 1, every: int = 3) -> Any:
    return lightning.Trainer(
        max_epochs=epochs, accumulate_grad_batches=accumulated, callbacks=[LowbitCallback(every)], accelerator="cpu",
        default_root_dir=folder, logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False,
    )  # fmt: skip


def loader() -> DataLoader[Any]:
    return DataLoader(BATCHES, batch_size=None)  # type: ignore[arg-type]


def plain(epochs: int, accumulated: int = 1) -> Task:
    """The loop of the README."""
    task = Task()
    optimizer = torch.optim.Adam(parameter_groups(task, 0.01, 1e-4))
    task.train()
    for _ in range(epochs):
        for first in range(0, len(BATCHES), accumulated):
            optimizer.zero_grad()
            for x, y in BATCHES[first : first + accumulated]:
                ((task.loss(x, y) + task.net.regularization()) / accumulated).backward()
            optimizer.step()
            task.net.step()
    return task


def same(ours: nn.Module, theirs: nn.Module) -> None:
    torch.testing.assert_close(dict(ours.state_dict()), dict(theirs.state_dict()), rtol=0, atol=0)


@pytest.mark.parametrize("form", ["tensor", "dict"])
@pytest.mark.parametrize("accumulated", [1, 2])
def test_it_trains_as_the_plain_loop(form: str, accumulated: int, tmp_path: Path) -> None:
    task = Task(form)
    trainer(tmp_path, 2, accumulated).fit(task, loader())
    same(task, plain(2, accumulated))
    assert int(task.net.state_dict()["lowbit.step"]) == 2 * len(BATCHES) // accumulated
    assert "training_step" not in vars(task)
    lowbit.lower(task.net.eval())


def test_a_training_that_failed_leaves_the_module_as_it_was(tmp_path: Path) -> None:
    """Else the next one would count the penalties twice."""
    task = Task()
    with pytest.raises(TypeError):
        trainer(tmp_path, 1).fit(task, DataLoader([1]))  # type: ignore[arg-type]
    assert "training_step" not in vars(task)


def test_scalars_are_logged(tmp_path: Path) -> None:
    task, runner = Task(), trainer(tmp_path, 1)
    runner.fit(task, loader())
    logged = {name: float(value) for name, value in runner.logged_metrics.items()}
    assert {"lowbit/penalty/msqe_weights", "lowbit/coefficient/msqe_weights", "lowbit/zeros"} <= logged.keys()
    assert logged["lowbit/coded_bytes"] > 0


def test_it_resumes_in_the_middle_of_schedules(tmp_path: Path) -> None:
    first = trainer(tmp_path, 1)
    first.fit(Task(), loader())
    first.save_checkpoint(tmp_path / "half.ckpt")
    task = Task()
    trainer(tmp_path, 2).fit(task, loader(), ckpt_path=tmp_path / "half.ckpt", weights_only=False)
    assert 0 < len(BATCHES) < STEPS
    same(task, plain(2))


def test_a_module_without_a_prepared_one_is_refused(tmp_path: Path) -> None:
    task = Task()
    task.net = nn.Flatten()
    with pytest.raises(UserError, match="holds no prepared module"):
        trainer(tmp_path, 1).fit(task, loader())


def test_weight_decay_on_scales_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"weight decay of 0.1 on 'lowbit") as caught:
        trainer(tmp_path, 1).fit(Task(decay=0.1), loader())
    assert "parameter_groups" in caught.value.fix


def test_manual_optimization_is_refused(tmp_path: Path) -> None:
    task = Task()
    task.automatic_optimization = False
    with pytest.raises(UserError, match="manual optimization"):
        trainer(tmp_path, 1).fit(task, loader())


def test_every_parameter_is_in_one_group() -> None:
    task = Task()
    grouped = [id(p) for group in parameter_groups(task, 0.1) for p in group["params"]]
    assert isinstance(task.net, Prepared)
    assert sorted(grouped) == sorted(id(p) for p in task.parameters())
