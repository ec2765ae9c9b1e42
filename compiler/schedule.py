"""Schedules: a number that follows the clock of the training, as a buffer that `step()` sets.

    u(t) = (t - begin) / (end - begin), in [0, 1]
    ramp:         initial + (final - initial) u
    exponential:  initial (final / initial)^u
    tanh:         initial + (final - initial) (1 + tanh(3 (2 u - 1)) / tanh 3) / 2
    constant:     initial before `begin`, final from then on

t is the number of steps done. All four begin at `initial` and come to `final`, which may lie below it.
"""

from __future__ import annotations

import math
from functools import reduce
from typing import Annotated, Literal, TypeAlias

import torch
from msgspec import Meta
from torch import Tensor, fx

from .clock import step_ending
from .edit import Edit

_aten, _own = torch.ops.aten, torch.ops.lowbit

Share = Annotated[float, Meta(ge=0, le=1)]
Shape: TypeAlias = Literal["constant", "ramp", "exponential", "tanh"]
Span: TypeAlias = tuple[str, int, int, float, float]
"""Shape, the steps `begin` and `end`, the numbers `initial` and `final`."""

_SLOPE = 3.0
"""Of the tanh: nine tenths of the way are made in the middle half of the time."""


def in_order(begin: float, end: float) -> None:
    """Raises ValueError for shares of a training that no schedule can have."""
    if begin > end:
        raise ValueError(f"the schedule ends at {end:g}, before it begins at {begin:g}")


@torch.library.custom_op("lowbit::schedule", mutates_args=())
def schedule(step: Tensor, shape: str, begin: int, end: int, initial: float, final: float) -> Tensor:
    """The number after that many steps; step: an int64 scalar, the result a float64 one."""
    t = step.double()
    u = ((t - begin) / (end - begin)).clamp(0, 1) if end > begin else (t >= begin).double()
    match shape:
        case "exponential":
            return initial * (final / initial) ** u
        case "tanh":
            u = (1 + (_SLOPE * (2 * u - 1)).tanh() / math.tanh(_SLOPE)) / 2
        case "constant":
            u = (t >= begin).double()
    return torch.lerp(torch.full_like(u, initial), torch.full_like(u, final), u)  # of exact ends


@schedule.register_fake
def _(step: Tensor, shape: str, begin: int, end: int, initial: float, final: float) -> Tensor:
    return torch.empty_like(step, dtype=torch.float64)


def scheduled(edit: Edit, name: str, dtype: torch.dtype, *spans: Span) -> fx.Node:
    """The buffer of that name, which `step()` sets to the number that the next step shall see: the sum of the spans."""
    first: Tensor = sum(schedule(torch.zeros((), dtype=torch.int64), *span) for span in spans)
    buffer, now = edit.buffer(name, first.to(dtype)), step_ending(edit)
    numbers = [edit.call(_own.schedule.default, now, *span) for span in spans]
    edit.update(buffer, reduce(lambda a, b: edit.call(_aten.add.Tensor, a, b), numbers))
    return buffer
