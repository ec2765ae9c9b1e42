"""TensorBoard scalars of a training: `lowbit compile --log DIR`, or `report=Log(DIR)` of lowbit.compile."""

from __future__ import annotations

from pathlib import Path

from ..compiler.errors import UserError
from ..compiler.training import Progress
from ..compiler.training.scalars import scalars

UNDER = "training under "
"""How lowbit.compile begins what it calls the training under a recipe."""


class Log:
    """A report that writes the loss, the penalties, coefficients, zeros and estimated bytes.

    Each training has its own folder of scalars below `folder`, `float` and the recipe's name, so that their curves lie
    over one another; that of a recipe called float is `float (recipe)`.   every: steps from one record to the next.
    Raises UserError without tensorboard.
    """

    def __init__(self, folder: Path, every: int = 10) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise UserError("the log needs tensorboard", fix="pip install 'lowbit[tensorboard]'") from None
        self._open, self._writers = SummaryWriter, {}  # type: ignore[var-annotated]
        self.folder, self.every = folder, every

    def __call__(self, stage: str, at: Progress | None) -> None:
        """As `report` of lowbit.compile. stage: what it calls the training."""
        if at is None or (at.step % self.every and at.step != at.steps):
            return
        name = _folder(stage)
        if name not in self._writers:
            # What a run that was killed had written behind its last checkpoint is written anew, and counts no more.
            self._writers[name] = self._open(str(self.folder / name), purge_step=at.step)
        for tag, value in {"loss": at.loss, "penalty": at.penalty, **scalars(at.module)}.items():
            self._writers[name].add_scalar(tag, value, at.step)

    def close(self) -> None:
        """Write what is left."""
        for writer in self._writers.values():
            writer.close()


def _folder(stage: str) -> str:
    """That of a training, as lowbit.compile calls it."""
    recipe = stage.removeprefix(UNDER)
    if recipe == stage:
        return stage.rpartition(" ")[2]
    return "float (recipe)" if recipe == "float" else recipe
