"""Runs a program step by step with one kernel an op, and frees each value after its last reader."""

from __future__ import annotations

from collections import Counter
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
JointMaker: TypeAlias = Callable[[Call, Call], Kernel | None]
"""The same for a step and the one that reads it, as one; nothing where it takes two."""


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
    joint: the names of two ops -> maker of a kernel for both, where nobody else reads, or watches, what is between.
    """

    makers: Mapping[str, KernelMaker]
    load: Callable[[Integers], Any]
    store: Callable[[Any], Integers]
    joint: Mapping[tuple[str, str], JointMaker] = field(default_factory=dict)
    _plans: WeakKeyDictionary[Program, dict[bool, list[Planned]]] = field(
        default_factory=WeakKeyDictionary, init=False, repr=False
    )

    def __call__(self, program: Program, inputs: Sequence[Integers], watch: Watch | None = None) -> list[Integers]:
        held = {port.value: self.load(given) for port, given in zip(program.inputs, inputs, strict=True)}
        for step in self._plan(program, watched=watch is not None):
            held[step.makes] = step.kernel(*map(held.__getitem__, step.reads))
            if watch is not None:
                watch(step.makes, self.store(held[step.makes]))
            for value in step.frees:
                del held[value]
        return [self.store(held[port.value]) for port in program.outputs]

    def _plan(self, program: Program, watched: bool) -> list[Planned]:
        plans = self._plans.setdefault(program, {})
        if watched not in plans:
            plans[watched] = self._planned(program) if watched or not self.joint else self._joined(program)
        return plans[watched]

    def _planned(self, program: Program) -> list[Planned]:
        frees = _last_readers(program)
        return [
            Planned(self._kernel(program, step), _reads(program, step), step.output, frees[step.output])
            for step in program.steps
        ]

    def _joined(self, program: Program) -> list[Planned]:
        """The same with one kernel for two steps, where there is one, and the value between them is read once."""
        plan, found = self._planned(program), list[Planned]()
        reading = Counter(value for step in program.steps for value in step.inputs)
        reading.update(port.value for port in program.outputs)
        steps = iter(range(len(plan)))
        for i in steps:
            first, second = program.steps[i], program.steps[min(i + 1, len(plan) - 1)]
            make = self.joint.get((first.op, second.op)) if second.inputs[0] == first.output else None
            alone = reading[first.output] == 1
            kernel = make(_call(program, first), _call(program, second)) if make is not None and alone else None
            if kernel is None:
                found.append(plan[i])
                continue
            frees = {*plan[i].frees, *plan[next(steps)].frees} - {first.output}
            found.append(Planned(kernel, plan[i].reads, second.output, tuple(frees)))
        return found

    def _kernel(self, program: Program, step: Step) -> Kernel:
        if step.op not in self.makers:
            raise Unsupported(f"this target has no kernel for '{step.op}'", where=step.origin)
        return self.makers[step.op](_call(program, step))


def _call(program: Program, step: Step) -> Call:
    values = [program.values[i] for i in step.inputs]
    operands = [Operand(value.shape, value.range, value.data) for value in values]
    return Call(dict(zip(op_named(step.op).inputs, operands, strict=True)), step.attributes)


def _reads(program: Program, step: Step) -> tuple[int, ...]:
    return tuple(i for i in step.inputs if program.values[i].data is None)


def _last_readers(program: Program) -> dict[int, tuple[int, ...]]:
    """For each step, by its output: the values that no later step and no output port reads."""
    read_later = {port.value for port in program.outputs} | set(program.constants())
    frees = {}
    for step in reversed(program.steps):
        frees[step.output] = tuple({*step.inputs, step.output} - read_later)
        read_later |= {*step.inputs, step.output}
    return frees
