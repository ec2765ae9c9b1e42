"""What a training on the command line is made of: its plans, its random numbers, its threads."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from . import source

if TYPE_CHECKING:
    from torch import nn

    from ..compilation import Effort

SMALL = 1_000_000
"""Parameters below which the threads of a step mostly wait for each other."""


def effort(
    output: str, seed: int, *, float_epochs: int, epochs: int, batch_size: int, lr: float, task: str,
    distill: float, schedule: Literal["cosine", "constant"], checkpoint: str | None, checkpoint_steps: int = 0,
    checkpoint_minutes: float = 5.0,
) -> Effort:  # fmt: skip
    """How to train, from the options of a training.   output: a file that must not be the checkpoint."""
    from ..compilation import Effort
    from ..compiler.checkpoint import Checkpoint
    from ..compiler.disk import check_writable
    from ..compiler.training import Plan

    if checkpoint is not None:
        check_writable(checkpoint)
        _check_apart(checkpoint, output)
    kept = Checkpoint(Path(checkpoint), checkpoint_steps, checkpoint_minutes) if checkpoint is not None else None
    first = Plan(float_epochs, batch_size, lr, seed=seed)
    second = replace(first, epochs=epochs, distill=distill, schedule=schedule)
    return Effort(first, second, source.task(task), kept)


def _check_apart(checkpoint: str, output: str) -> None:
    """Raise UserError where the program would be written over the training."""
    from ..compiler.errors import UserError

    if os.path.realpath(checkpoint) == os.path.realpath(output):
        raise UserError("--checkpoint and --output name one file", where=output, fix="give each a file of its own")


def seed_all(seed: int) -> None:
    """Of the random numbers that a dataset may draw from; those of torch are seeded where they are used."""
    import random

    import numpy as np

    random.seed(seed)
    np.random.seed(seed % 2**32)


def use_threads(threads: int | None, module: nn.Module) -> None:
    """Threads by the user's word, or by the model alone: their number may change the last bits of a sum."""
    import torch

    small = sum(parameter.numel() for parameter in module.parameters()) < SMALL
    if threads or small:
        torch.set_num_threads(threads or 1)
