"""Two tensors, one behind the other along an axis."""

from __future__ import annotations

from ...fixed.op import Call
from ..move import Copy, Move
from ..tensors import Tensor


def _copies(call: Call, given: tuple[Tensor, ...], output: Tensor) -> list[Copy]:
    a, b = given
    behind = output.strides[call.axis] * a.shape[call.axis]
    return [Copy(0, a.shape, output.strides, a.strides), Copy(1, b.shape, output.strides, b.strides, start=behind)]


MOVE = Move(_copies)
