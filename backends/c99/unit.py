"""A program in C before it is text: what each function says in each variant, its constants, and where memory lies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ...compiler.errors import Unsupported
from ..fixed.program import Program
from .arena import Arena, Block, arranged, blocks, in_place
from .body import ALIGNMENT, Body, Table
from .kernel import chosen, kernels
from .schedule import Schedule, scheduled
from .variants import AVX2, PORTABLE, VNNI_256
from .weights import PLAIN

VARIANTS = (PORTABLE, AVX2, VNNI_256)
"""Those of an emitted file."""


@dataclass(frozen=True)
class Function:
    """One task in one variant: its kernel's name, the text of the function's body, and what that refers to."""

    kernel: str
    text: str
    body: Body


@dataclass(frozen=True)
class Memory:
    """buffers: where in the arena each lies.   scratch: where each task's own memory lies.   arena: its measures.

    blocks: all that lies in it, and when.
    """

    buffers: Mapping[int, int]
    scratch: tuple[int, ...]
    arena: Arena
    blocks: tuple[Block, ...] = ()


@dataclass(frozen=True)
class Unit:
    """A program as C. name: what its names begin with.   variants: the macro of each -> its functions, task by task."""

    name: str
    schedule: Schedule
    variants: Mapping[str, tuple[Function, ...]]
    memories: Mapping[str, Memory]

    def constants(self) -> dict[tuple[str, bytes], Table]:
        """Every table once, however many functions read it, in order."""
        functions = [function for functions in self.variants.values() for function in functions]
        return {table.key: table for function in functions for table in function.body.tables}


def unit(
    program: Program, name: str, whole: bool = False, variants: Sequence[str] = VARIANTS, weights: str = PLAIN
) -> Unit:
    """The program as C. Raises Unsupported for an op without a kernel.

    whole: all values are kept, see `scheduled`.   weights: the form in which portable kernels have them, see `weights`.
    """
    schedule = in_place(scheduled(program, whole))
    taken = [chosen(task, variants) for task in schedule.tasks]
    functions = {variant: _functions(schedule, name, variant, weights, taken) for variant in variants}
    memories = {variant: _memory(schedule, each) for variant, each in functions.items()}
    return Unit(name, schedule, functions, memories)


def _functions(
    schedule: Schedule, name: str, variant: str, weights: str, taken: Sequence[Mapping[str, str]]
) -> tuple[Function, ...]:
    """taken: the kernels of each task, by variant."""
    made = []
    for task, kernel in zip(schedule.tasks, taken, strict=True):
        if variant not in kernel:
            raise Unsupported(f"no kernel in C99 takes this '{task.op}'", where=task.origin)
        body = Body(name, weights if variant == PORTABLE else PLAIN, variant)
        made.append(Function(kernel[variant], kernels()[kernel[variant]].write(task, body), body))
    return tuple(made)


def _memory(schedule: Schedule, functions: Sequence[Function]) -> Memory:
    lives = blocks(schedule)
    if schedule.whole:
        return _apart(lives, max((function.body.scratch for function in functions), default=0), len(functions))
    own = [Block(function.body.scratch, time, time) for time, function in enumerate(functions)]
    arena = arranged([*lives.values(), *own])
    buffers = dict(zip(lives, arena.offsets, strict=False))
    return Memory(buffers, arena.offsets[len(lives) :], arena, (*lives.values(), *own))


def _apart(lives: Mapping[int, Block], scratch: int, tasks: int) -> Memory:
    """All scratch memory behind all buffers, so that these lie alike in every variant."""
    arena = arranged([*lives.values(), Block(scratch, -1, tasks)])
    apart = arranged(list(lives.values()))
    end = -(-apart.size // ALIGNMENT) * ALIGNMENT
    return Memory(dict(zip(lives, apart.offsets, strict=True)), (end,) * tasks, replace(arena, size=end + scratch))
