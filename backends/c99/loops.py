"""Loops over the elements of an output: nests over its axes as memory has them, and rows along the innermost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .body import Body, indented
from .element import chained
from .kernel import Task
from .tensors import Tensor


@dataclass(frozen=True)
class Loop:
    """One loop: how often, and how far each tensor goes on with it."""

    size: int
    steps: tuple[int, ...]


@dataclass(frozen=True)
class Nest:
    """Loops from the outermost to the innermost. axes: which loop runs along an axis, of those asked for."""

    loops: tuple[Loop, ...]
    axes: dict[int, int]

    @staticmethod
    def over(sizes: Sequence[int], order: Sequence[int], strides: Sequence[Sequence[int]], apart: set[int]) -> Nest:
        """The fewest loops over the axes in that order, for tensors of those strides; `apart` have their own."""
        loops: list[Loop] = []
        axes: dict[int, int] = {}
        alone = True
        for axis in order:
            loop = Loop(sizes[axis], tuple(each[axis] for each in strides))
            if loop.size == 1:
                continue
            outer = loops[-1] if loops else None
            if outer and not alone and axis not in apart and outer.steps == tuple(s * loop.size for s in loop.steps):
                loops[-1] = Loop(outer.size * loop.size, loop.steps)
                continue
            alone = axis in apart
            axes[axis] = len(loops)
            loops.append(loop)
        return Nest(tuple(loops), axes)

    def at(self, number: int) -> str:
        """Where the element of the tensor of that number lies."""
        terms = [
            f"i{place}" + (f" * {loop.steps[number]}" if loop.steps[number] != 1 else "")
            for place, loop in enumerate(self.loops)
            if loop.steps[number]
        ]
        return " + ".join(terms) or "0"

    def around(self, lines: Sequence[str], depth: int = 1) -> str:
        """The loops around those statements."""
        heads = [
            "    " * (depth + place) + f"for (int32_t i{place} = 0; i{place} < {loop.size}; i{place}++)"
            for place, loop in enumerate(self.loops)
        ]
        if not heads:
            return "\n".join(["    " * depth + "{", indented(lines, depth + 1), "    " * depth + "}"])
        heads[-1] += " {"
        return "\n".join([*heads, indented(lines, depth + len(heads)), "    " * (depth + len(heads) - 1) + "}"])


@dataclass(frozen=True)
class Nested:
    """The places that a nest names, of tensors that may be spread over the output."""

    nest: Nest
    tensors: tuple[Tensor, ...]

    def along(self, axis: int) -> str:
        place = self.nest.axes.get(axis)
        return "0" if place is None else f"i{place}"

    def of(self, tensor: Tensor) -> str:
        return self.nest.at(self.tensors.index(tensor))


@dataclass(frozen=True)
class Rows:
    """The places of element `o` of row `p` of the output."""

    output: Tensor

    def along(self, axis: int) -> str:
        return "o"

    def of(self, tensor: Tensor) -> str:
        if tensor.shape == self.output.shape:
            return f"p * {self.output.last} + o"
        return "o" if tensor.elements > 1 else "0"


def spread(tensor: Tensor, shape: Sequence[int]) -> tuple[int, ...]:
    """Its strides over that shape: 0 along the axes where it is spread."""
    pairs = zip(tensor.shape, tensor.strides, strict=True)
    steps = [0 if size == 1 else stride for size, stride in pairs]
    return tuple(steps) if shape else ()


def finished(task: Task, body: Body, total: str, depth: int, begin: str = "0", end: str = "") -> str:
    """The loop that runs the chain over row `p`; `total` is the op's own element `o`. depth: of the place it is for.

    begin, end: the elements of the row; all of them at first. A `begin` of "o" goes on with that variable.
    """
    chain = chained(task.chain, body, Rows(task.output), task.named)
    at = Rows(task.output).of(task.output)
    lines = [
        f"for ({'' if begin == 'o' else f'int32_t o = {begin}'}; o < {end or task.output.last}; o++) {{",
        f"    int32_t v = {total};",
        *(f"    {line}" for line in chain),
        f"    y[{at}] = ({body.held(task.output.type)})v;",
        "}",
    ]
    return indented(lines, depth).lstrip()
