"""The clock of a training: one counter of steps that every schedule reads and that `step()` advances once."""

from __future__ import annotations

import torch
from torch import fx

from .edit import Edit

_aten = torch.ops.aten

STEP = "lowbit.step"
"""Name of the buffer that counts the steps, an int64 scalar: it is in `state_dict`, and no schedule has another."""


def steps_done(edit: Edit) -> fx.Node:
    """How many steps are done: 0 in the first forward. It is advanced once, however many passes ask for it."""
    zero = torch.zeros((), dtype=torch.int64)
    step = edit.common(STEP, zero) if STEP in edit.state else edit.buffer(STEP, zero)
    if STEP not in edit.graph.updates:
        edit.update(step, edit.call(_aten.add.Tensor, step, 1))
    return step


def step_ending(edit: Edit) -> fx.Node:
    """The number of the step that `step()` ends, counted from 1: for what is set by `Edit.update`."""
    return edit.call(_aten.add.Tensor, steps_done(edit), 1)
