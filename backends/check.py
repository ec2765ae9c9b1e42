"""Holds targets to the interpreter on given inputs, value by value, and names the first step that differs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..compiler.arrays import Integers
from ..compiler.errors import Broken
from .fixed.program import Program
from .target import Target, checked, targets

REFERENCE = "interpreter"


@dataclass(frozen=True)
class Difference:
    """The first step whose output differs: where it is, how many elements do, and the first of them."""

    value: int
    op: str
    origin: str
    count: int
    index: tuple[int, ...]
    expected: int
    found: int

    def __str__(self) -> str:
        place = f"%{self.value} = {self.op}" + (f", from {self.origin}" if self.origin else "")
        element = f"[{','.join(map(str, self.index))}] is {self.found}, not {self.expected}"
        return f"{place}: {self.count} elements differ; the first, {element}"


@dataclass(frozen=True)
class Comparison:
    """What one target did beside the interpreter. unavailable: the reason why it did not run, or ""."""

    target: str
    values: int = 0
    elements: int = 0
    difference: Difference | None = None
    unavailable: str = ""

    @property
    def equal(self) -> bool:
        """It ran, and every element of every value and output was the same."""
        return not self.unavailable and self.difference is None


def compare(
    program: Program, inputs: Sequence[Integers], among: Mapping[str, Target] | None = None
) -> tuple[Comparison, ...]:
    """One comparison for each target in `among` (default: all but the interpreter), on every value it computes."""
    inputs = checked(program, inputs)
    chosen = {name: t for name, t in targets().items() if name != REFERENCE} if among is None else among
    expected: dict[int, Integers] = {}
    outputs = targets()[REFERENCE].run(program, inputs, expected.__setitem__)
    expected |= {port.value: output for port, output in zip(program.outputs, outputs, strict=True)}
    return tuple(_compared(program, inputs, expected, name, target) for name, target in chosen.items())


def _compared(
    program: Program, inputs: Sequence[Integers], expected: Mapping[int, Integers], name: str, target: Target
) -> Comparison:
    if reason := target.available():
        return Comparison(name, unavailable=reason)
    elements: dict[int, int] = {}
    differences: list[Difference] = []

    def look(value: int, found: Integers) -> None:
        elements[value] = found.size
        differences.extend(_differences(program, value, expected[value], found))

    outputs = target.run(program, inputs, look)
    for port, output in zip(program.outputs, outputs, strict=True):
        look(port.value, output)
    # A target may report values in any order; SSA order is the order of definition.
    first = min(differences, key=lambda difference: difference.value, default=None)
    return Comparison(name, len(elements), sum(elements.values()), first)


def _differences(program: Program, value: int, expected: Integers, found: Integers) -> list[Difference]:
    if expected.shape != found.shape:
        raise Broken(f"%{value} has shape {found.shape} on one target and {expected.shape} on the interpreter")
    wrong = np.argwhere(expected != found)
    if not len(wrong):
        return []
    step = next((step for step in program.steps if step.output == value), None)
    op, origin = (step.op, step.origin) if step else ("input", "")
    index = tuple(int(i) for i in wrong[0])
    return [Difference(value, op, origin, len(wrong), index, int(expected[index]), int(found[index]))]
