"""Moves: loops that copy, after a fill where something stays uncovered."""

from __future__ import annotations

from ..body import Body
from ..integers import literal
from ..kernel import Kernel, Task
from ..loops import Nest
from ..move import Copy, moves


def _write(task: Task, body: Body) -> str:
    move, type = moves()[task.op], body.held(task.output.type)
    parts = [_copied(task, body, copy, type) for copy in move.copies(task.call, task.inputs, task.output)]
    fill = move.fill(task.call)
    if fill is not None:
        parts.insert(0, f"    for (int32_t i = 0; i < {task.output.elements}; i++)\n        y[i] = {literal(fill)};")
    return "\n".join(parts)


def _copied(task: Task, body: Body, copy: Copy, type: str) -> str:
    axis, places = copy.places or (-1, None)
    tensors = [copy.to, tuple(0 if each == axis else step for each, step in enumerate(copy.by))]
    nest = Nest.over(copy.sizes, task.output.order, tensors, {axis})
    source = f"{copy.begin} + {nest.at(1)}" if copy.begin else nest.at(1)
    if places is not None:
        row = f"i{nest.axes[axis]}" if axis in nest.axes else "0"
        source += f" + {body.table('places', places * copy.by[axis])}[{row}]"
    target = f"{copy.start} + {nest.at(0)}" if copy.start else nest.at(0)
    return nest.around([f"y[{target}] = ({type}){task.named(task.inputs[copy.operand])}[{source}];"])


KERNEL = Kernel(
    ops=tuple(name for name, move in moves().items() if not move.renames),
    write=_write,
    cost=lambda task: float(task.output.elements),
)
