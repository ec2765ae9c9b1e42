"""What a unit costs, function by function: bytes of constants and of memory, multiply-accumulates, the kernel."""

from __future__ import annotations

from dataclasses import dataclass

from ..fixed.macs import macs
from .unit import Unit


@dataclass(frozen=True)
class Row:
    """One function. weights, tables: bytes of constants that no row before it has told.   memory: bytes in the arena
    while it runs, with its own scratch.   macs: for one sample."""

    name: str
    ops: str
    kernel: str
    weights: int
    tables: int
    memory: int
    macs: int
    origin: str


def report(unit: Unit, variant: str) -> list[Row]:
    """The rows of a variant, in the order in which the functions run."""
    return [_row(unit, variant, number) for number in range(len(unit.schedule.tasks))]


def _row(unit: Unit, variant: str, number: int) -> Row:
    task, function = unit.schedule.tasks[number], unit.variants[variant][number]
    told = {table.key for before in unit.variants[variant][:number] for table in before.body.tables}
    sizes = [
        (table.name == "weight", table.data.size * table.type.size)
        for table in function.body.tables
        if table.key not in told
    ]
    steps = {step.output: step for step in unit.schedule.program.steps}
    own = steps.get(task.makes)
    return Row(
        name=f"{unit.name}_{number}",
        ops=", ".join([task.op, *(link.op for link in task.chain)]),
        kernel=function.kernel,
        weights=sum(size for weights, size in sizes if weights),
        tables=sum(size for weights, size in sizes if not weights),
        memory=sum(block.size for block in unit.memories[variant].blocks if block.first <= number <= block.last),
        macs=macs(unit.schedule.program, own) if own else 0,
        origin=task.origin,
    )
