"""Target, the one record of a way to run a program, and the check of the inputs that all of them share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from ..compiler.arrays import Floats, Integers
from ..compiler.errors import Unsupported, UserError
from ..compiler.registry import members
from .fixed.program import Program

Watch: TypeAlias = Callable[[int, Integers], None]
"""Told the index and the integers (with batch) of each value that a step computes."""
PACKAGE = f"{__package__}.targets"


@dataclass(frozen=True)
class Target:
    """A way to run a program; the file's name is its name. All targets give the same integers, bit for bit.

    execute: (program, checked int64 inputs, watch) -> int64 outputs, each with a leading batch axis.
    available: the reason why it cannot run here, or "".   builds: a program takes it seconds before it first runs.
    real: (program, arrays) -> the float32 outputs for real inputs, the same that `Compiled` computes around `execute`;
    None where it leaves that to it, as it does for all that is refused.
    """

    execute: Callable[[Program, Sequence[Integers], Watch | None], list[Integers]]
    available: Callable[[], str] = lambda: ""
    builds: bool = False
    real: Callable[[Program, Sequence[np.ndarray[Any, Any]]], list[Floats] | None] = lambda program, inputs: None

    def run(self, program: Program, inputs: Sequence[Integers], watch: Watch | None = None) -> list[Integers]:
        """The outputs of the program, in port order. Raises UserError for unfit inputs, Unsupported if unavailable."""
        if reason := self.available():
            raise Unsupported("this target cannot run here", why=reason)
        return self.execute(program, checked(program, inputs), watch)


def targets() -> Mapping[str, Target]:
    """Every target by name."""
    return members(PACKAGE, Target)


def checked(program: Program, inputs: Sequence[Integers]) -> list[Integers]:
    """The inputs as int64 arrays. Raises UserError unless each fits its port and all have one batch size."""
    if len(inputs) != len(program.inputs):
        raise UserError(f"the program takes {len(program.inputs)} inputs, not {len(inputs)}")
    arrays = [_checked(program, place, np.asarray(given)) for place, given in enumerate(inputs)]
    batches = [len(array) for array in arrays]
    if len(set(batches)) > 1:
        raise UserError(f"the inputs have different batch sizes: {batches}", fix="give every input the same first axis")
    return arrays


def _checked(program: Program, place: int, given: Integers) -> Integers:
    value, where = program.values[program.inputs[place].value], f"input {place}"
    if given.dtype.kind not in "iu":
        raise UserError(
            f"an input holds {given.dtype}, not integers",
            where=where,
            why="a fixed-point program reads integers on the input's grid",
            fix="quantize first: q = clamp(floor(real / scale + 1/2) + zero), with the port's scale and zero",
        )
    if given.ndim != len(value.shape) + 1 or given.shape[1:] != value.shape:
        wanted = f"(batch, {', '.join(map(str, value.shape))})"
        raise UserError(f"an input has shape {given.shape}, not {wanted}", where=where, fix="batch is the first axis")
    if given.size and not (int(given.min()) in value.range and int(given.max()) in value.range):
        raise UserError(
            f"an input holds integers in [{given.min()}, {given.max()}], outside {value.range}",
            where=where,
            why="every bound of the program is proven from that range",
            fix="clamp the input to it",
        )
    return given.astype(np.int64)
