"""Multiply-accumulates of the steps of a program."""

from __future__ import annotations

import math

from .program import Program, Step

# Of which axes of the second operand each element of the output is a sum over.
_SUMMED = {"conv2d": slice(1, None), "conv3d": slice(1, None), "linear": slice(-1, None), "matmul": slice(-1, None)}


def macs(program: Program, step: Step) -> int:
    """Of a step, for one sample."""
    if step.op not in _SUMMED:
        return 0
    return math.prod(program.values[step.output].shape) * math.prod(
        program.values[step.inputs[1]].shape[_SUMMED[step.op]]
    )
