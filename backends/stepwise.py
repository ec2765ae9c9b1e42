"""Runs a program step by step with one kernel an op, and frees each value after its last reader."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from weakref import WeakKeyDictionary

from ..compiler.arrays import Integers
from ..compiler.errors import Unsupported
from .fixed.op import Call, Operand
from .fixed.program import Program, Step
from .fixed.registry import op_named
from .target import Watch

Kernel: TypeAlias = Callable[..., Any]
"""The arrays of the inputs that are not constants -> the array of the output."""
KernelMaker: TypeAlias = Callable[[Call], Kernel]
"""Reads shapes, proven ranges, constants and attributes once, so that running again costs only the arithmetic."""


@dataclass(frozen=True)
class Planned:
    """One step ready to run: the values it reads, the one it makes, and those that nobody reads afterwards."""

    kernel: Kernel
    reads: tuple[int, ...]
    makes: int
    frees: tuple[int, ...]


@dataclass(frozen=True)
class Stepwise:
    """The `execute` of a target that has one kernel an op.

    makers: op name -> maker of kernels.   load, store: int64 array -> the target's own, and back.
    """

    makers: Mapping[str, KernelMaker]
    load: Callable[[Integers], Any]
    store: Callable[[Any], Integers]
    _plans: WeakKeyDictionary[Program, list[Planned]] = field(default_factory=WeakKeyDictionary, init=False, repr=False)

    def __call__(self, program: Program, inputs: Sequence[Integers], watch: Watch | None = None) -> list[Integers]:
        held = {port.value: self.load(given) for port, given in zip(program.inputs, inputs, strict=True)}
        for step in self._plan(program):
            held[step.makes] = step.kernel(*map(held.__getitem__, step.reads))
            if watch is not None:
                watch(step.makes, self.store(held[step.makes]))
            for value in step.frees:
                del held[value]
        return [self.store(held[port.value]) for port in program.outputs]

    def _plan(self, program: Program) -> list[Planned]:
        if program not in self._plans:
            frees = _last_readers(program)
            self._plans[program] = [self._planned(program, step, frees[step.output]) for step in program.steps]
        return self._plans[program]

    def _planned(self, program: Program, step: Step, frees: tuple[int, ...]) -> Planned:
        if step.op not in self.makers:
            raise Unsupported(f"this target has no kernel for '{step.op}'", where=step.origin)
        values = [program.values[i] for i in step.inputs]
        operands = [Operand(value.shape, value.range, value.data) for value in values]
        call = Call(dict(zip(op_named(step.op).inputs, operands, strict=True)), step.attributes)
        reads = tuple(i for i, value in zip(step.inputs, values, strict=True) if value.data is None)
        return Planned(self.makers[step.op](call), reads, step.output, frees)


def _last_readers(program: Program) -> dict[int, tuple[int, ...]]:
    """For each step, by its output: the values that no later step and no output port reads."""
    read_later = {port.value for port in program.outputs} | set(program.constants())
    frees = {}
    for step in reversed(program.steps):
        frees[step.output] = tuple({*step.inputs, step.output} - read_later)
        read_later |= {*step.inputs, step.output}
    return frees
