"""A border of one value around the last two axes."""

from __future__ import annotations

from ...fixed.op import Call
from ..move import Copy, Move, along
from ..tensors import Tensor


def _copies(call: Call, given: tuple[Tensor, ...], output: Tensor) -> list[Copy]:
    (x,) = given
    top, _, left, _ = call.padding
    inner = (0,) * (len(x.shape) - 2)
    return [Copy(0, x.shape, output.strides, x.strides, start=along(output.strides, (*inner, top, left)))]


MOVE = Move(_copies, fill=lambda call: call.pad_value if any(call.padding) else None)
