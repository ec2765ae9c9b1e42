"""Saturation: q = min(max(x, lo), hi)."""

from __future__ import annotations

from ..op import Constraint, Op
from ..rounding import ANY_INT32

OP = Op(
    code=5,
    inputs=("x",),
    attributes={"lo": ANY_INT32, "hi": ANY_INT32},
    constraints=(Constraint("C1", "lo is not above hi.", lambda call: call.lo <= call.hi),),
    shape=lambda call: call.x.shape,
    range=lambda call: call.x.range.clamp(call.lo, call.hi),
    value=lambda x, *, lo, hi: x.clip(lo, hi),
    edges=lambda call: [0, *(bound + step for bound in (call.lo, call.hi) for step in (-1, 0, 1))],
)
