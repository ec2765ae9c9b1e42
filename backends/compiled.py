"""Compiled: an integer program as the user holds it, with real numbers at its ends."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..compiler.arrays import Floats, Integers
from ..compiler.errors import UserError
from . import blob, soonest
from .fixed.program import Port, Program
from .target import targets

SINGLE = 4
"""Bytes of the narrowest float that programs are given."""


@dataclass(frozen=True)
class Compiled:
    """An integer program: run it on real numbers or on integers, save it, look inside (`program`)."""

    program: Program

    def run(self, *inputs: Any, target: str | None = None) -> list[Floats]:
        """The real outputs, float32, for real inputs (arrays or tensors with a leading batch axis).

        Only the two ends are real: inputs are rounded to their grid, outputs are integers times their scale.
        target: the name of one; by default torch, and compiled C once building that has paid (backends/soonest.py).
        Raises UserError for inputs of the wrong number, shape or type, or an unknown target.
        """
        arrays = [_array(x) for x in inputs]
        ready = soonest.ready(self.program) if target is None else targets().get(target)
        if ready is not None and (outputs := ready.real(self.program, arrays)) is not None:
            return outputs
        integers = self.run_integers(*self.quantize(*arrays), target=target)
        return [
            np.asarray((q - port.zero) * port.scale, dtype=np.float32)
            for q, port in zip(integers, self.program.outputs, strict=True)
        ]

    def run_integers(self, *inputs: Integers, target: str | None = None) -> list[Integers]:
        """The output integers for input integers. All targets give the same, bit for bit; see `run` for the default."""
        if target is None:
            return soonest.run(self.program, [_array(x) for x in inputs])
        if target not in targets():
            raise UserError(f"no target is called '{target}'", fix=f"one of: {', '.join(targets())}")
        return targets()[target].run(self.program, [_array(x) for x in inputs])

    def quantize(self, *inputs: Any) -> list[Integers]:
        """The integers of real inputs on the grids of the program's inputs, rounded as in training."""
        if len(inputs) != len(self.program.inputs):
            raise UserError(f"the program takes {len(self.program.inputs)} inputs, not {len(inputs)}")
        return [self._quantize(x, port) for x, port in zip(inputs, self.program.inputs, strict=True)]

    def _quantize(self, x: Any, port: Port) -> Integers:
        real = _array(x)
        if real.dtype.kind not in "fiub":
            raise UserError(f"an input holds {real.dtype}, not numbers")
        if not np.isfinite(real).all():
            raise UserError("an input holds infinity or not-a-number", fix="clean the data first")
        legal = self.program.values[port.value].range
        # float32 division and addition, exactly as the fake quantizer computes them.
        steps = np.floor(real.astype(np.float32) / np.float32(port.scale) + np.float32(0.5))
        codes: Integers = (np.clip(steps, legal.lo - port.zero, legal.hi - port.zero) + port.zero).astype(np.int64)
        return codes

    def save(self, path: str | os.PathLike[str], coder: str | None = None) -> int:
        """Write the `.lowbit` file, whole or not at all, and return its size in bytes. Raises UserError.

        coder: the most demanding codec that may be used, such as "rans" for a file that loads fast or "packed"; any if
        None, which makes the smallest file.
        """
        return blob.save(self.program, path, coder)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Compiled) and blob.dumps(self.program) == blob.dumps(other.program)

    def __hash__(self) -> int:
        return hash(blob.dumps(self.program))


def _array(x: Any) -> np.ndarray[Any, np.dtype[Any]]:
    """An array, or whatever numpy makes one of; of tensors also those of float types that numpy does not have."""
    try:
        if hasattr(x, "detach"):
            x = x.detach().cpu()
            x = (x.float() if x.is_floating_point() and x.element_size() < SINGLE else x).numpy()
        return np.asarray(x)
    except Exception as error:  # ragged lists, tensors without values, and whatever else gives no array
        why = f"{type(error).__name__}: {error}"
        raise UserError("an input is no array of numbers", why=why, fix="give arrays or tensors, batch first") from None


def zeros(program: Program) -> tuple[int, int]:
    """(zeros, all) of the weights of the program."""
    layers = ("conv2d", "conv3d", "linear")
    weights = [program.values[step.inputs[1]].data for step in program.steps if step.op in layers]
    arrays: Sequence[Integers] = [weight for weight in weights if weight is not None]
    return sum(int((w == 0).sum()) for w in arrays), sum(w.size for w in arrays)
