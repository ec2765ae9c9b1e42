"""Program: SSA steps over integer tensors, and the builder that makes one. No float lives here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...compiler.arrays import Integers
from .op import Attribute, Operand
from .registry import op_named
from .types import INT32, Range
from .verify import IllegalStep, check


@dataclass(frozen=True, eq=False)
class Value:
    """One integer tensor of a program. A constant has data and its whole shape; any other leaves out the batch axis.

    range is declared for an input, and proven from the op's range rule for a step's output.
    """

    shape: tuple[int, ...]
    range: Range
    data: Integers | None = None


@dataclass(frozen=True)
class Step:
    """One operation: `output = op(*inputs, **attributes)`; values are indices into `Program.values`.

    origin is the module path and source line it came from; it is not part of the file.
    """

    op: str
    inputs: tuple[int, ...]
    output: int
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    origin: str = field(default="", compare=False)


@dataclass(frozen=True)
class Port:
    """A value at the boundary and what its integers stand for: real = multiplier * 2**-shift * (q - zero).

    2**23 <= multiplier < 2**24 (the significand of a float32), so the real scale is held exactly.
    """

    value: int
    multiplier: int
    shift: int
    zero: int = 0

    @property
    def scale(self) -> float:
        """The real step of the grid, exact in float64."""
        return float(np.ldexp(float(self.multiplier), -self.shift))


@dataclass(frozen=True, eq=False)
class Program:
    """A fixed-point program: values in definition order, steps in execution order, ports at both ends."""

    values: tuple[Value, ...]
    steps: tuple[Step, ...]
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]

    def constants(self) -> list[int]:
        """Indices of the constant values, ascending."""
        return [i for i, value in enumerate(self.values) if value.data is not None]


def _equal(one: Integers | None, other: Integers) -> bool:
    """Whether both hold the same; most that do not differ in the first few."""
    assert one is not None
    some = slice(0, 64)
    return np.array_equal(one.flat[some], other.flat[some]) and np.array_equal(one, other)


class Builder:
    """Collects values and steps in order. Each step is verified as it is added, so no illegal Program exists."""

    def __init__(self) -> None:
        self._values: list[Value] = []
        self._steps: list[Step] = []
        self._constants: dict[tuple[tuple[int, ...], Range], list[int]] = {}
        self._known: dict[Any, int] = {}

    def input(self, shape: Sequence[int], range: Range) -> int:
        """Declare an input of that shape (without batch) whose integers lie in `range`, which fits 32 bits."""
        # With the clamps and C1 of the ops this makes every value of every program fit 32 bits.
        if range not in INT32 or any(size < 1 for size in shape):
            raise IllegalStep(f"an input cannot be {tuple(shape)} in {range}", fix="sizes above 0, integers of 32 bits")
        return self._add(Value(tuple(shape), range))

    def constant(self, data: Integers) -> int:
        """Declare a constant; its range is that of its data, which is copied and made read-only."""
        return self.adopt(np.array(data, dtype=np.int64))

    def adopt(self, array: Integers) -> int:
        """Declare an int64 array that nobody else writes to as a constant; it is made read-only."""
        array.setflags(write=False)
        value = Value(array.shape, Range.of(array), array)
        self._constants.setdefault((value.shape, value.range), []).append(len(self._values))
        return self._add(value)

    def shared(self, data: Integers) -> int:
        """The constant of that data: one declared before, if there is one, so that tied weights are stored once."""
        array = np.array(data, dtype=np.int64)
        alike = self._constants.get((array.shape, Range.of(array)), [])
        known = next((index for index in alike if _equal(self[index].data, array)), None)
        return self.adopt(array) if known is None else known

    def step(self, op: str, *inputs: int, origin: str = "", **attributes: Attribute) -> int:
        """Append `op(*inputs, **attributes)` and return the index of its output. Raises verify.IllegalStep.

        An op with an expansion is checked as it is, then appended as its expansion: a program holds core ops only, so
        no target, file or printer ever needs to know of the others.
        """
        operands = tuple(Operand(v.shape, v.range, v.data) for v in map(self.__getitem__, inputs))
        shape, range = check(op, operands, attributes, origin)
        if (expand := op_named(op).expand) is not None:
            return expand(self, *inputs, origin=origin, **attributes)
        output = self._add(Value(shape, range))
        self._known.setdefault((op, inputs, frozenset(attributes.items())), output)
        self._steps.append(Step(op, inputs, output, attributes, origin))
        return output

    def known(self, op: str, *inputs: int, **attributes: Attribute) -> int | None:
        """The output of an equal step that stands there already, if there is one."""
        return self._known.get((op, inputs, frozenset(attributes.items())))

    def build(self, inputs: Sequence[Port], outputs: Sequence[Port]) -> Program:
        """Close the program: one port for each declared input, in order, and at least one output."""
        produced = {step.output for step in self._steps}
        declared = [i for i, value in enumerate(self._values) if value.data is None and i not in produced]
        if [port.value for port in inputs] != declared:
            raise IllegalStep(f"the input ports must be the values {declared}, in order")
        if not outputs or any(port.value not in produced | set(declared) for port in outputs):
            raise IllegalStep("every output port must name an input or the output of a step, and there must be one")
        return Program(tuple(self._values), tuple(self._steps), tuple(inputs), tuple(outputs))

    def __getitem__(self, index: int) -> Value:
        if not 0 <= index < len(self._values):
            raise IllegalStep(f"there is no value {index} yet, only {len(self._values)}")
        return self._values[index]

    def _add(self, value: Value) -> int:
        self._values.append(value)
        return len(self._values) - 1
