"""The meaning of a program: every op as its record defines it, on Python integers, which cannot overflow."""

from __future__ import annotations

from functools import partial

import numpy as np

from ...compiler.arrays import Integers
from ..fixed.op import Call, Op
from ..fixed.registry import ops
from ..stepwise import Kernel, Stepwise
from ..target import Target


def _exact(values: Integers) -> Integers:
    return values.astype(object)


def _meaning(op: Op, call: Call) -> Kernel:
    constants = {name: _exact(call.operands[name].data) for name in op.constants}  # type: ignore[arg-type]
    given = [name for name in op.inputs if name not in op.constants]
    return lambda *arrays: op.value(**dict(zip(given, arrays, strict=True)), **constants, **call.attributes)


TARGET = Target(
    Stepwise(
        makers={name: partial(_meaning, op) for name, op in ops().items()},
        load=_exact,
        store=lambda values: values.astype(np.int64),
    )
)
