"""The same value in another order in memory; no op of the program, but what stands between two that differ."""

from __future__ import annotations

from ...fixed.op import Call
from ..move import Copy, Move
from ..tensors import Tensor


def _copies(call: Call, given: tuple[Tensor, ...], output: Tensor) -> list[Copy]:
    return [Copy(0, output.shape, output.strides, given[0].strides)]


MOVE = Move(_copies)
