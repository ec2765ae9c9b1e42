"""Sums over axes: one pass over the operand as it lies, into 32-bit sums of the whole output."""

from __future__ import annotations

from ...fixed.op import Call
from ..body import Body, filled
from ..integers import WORD
from ..kernel import Kernel, Task
from ..loops import Nest, finished
from ..tensors import Order, Wanted, strides

C = """\
    $sums
    for (int32_t o = 0; o < $outputs; o++)
        sums[o] = 0;
$loops
    for (int32_t p = 0; p < $rows; p++)
        $chain"""


def _order(call: Call, orders: tuple[Order, ...]) -> Wanted:
    """The axes that are left, as the operand lies."""
    if call.keepdim:
        return (None,), orders[0]
    left = [axis for axis in range(len(orders[0])) if axis not in call.axes]
    return (None,), tuple(left.index(axis) for axis in orders[0] if axis not in call.axes)


def _write(task: Task, body: Body) -> str:
    (x,), axes, output = task.inputs, task.call.axes, task.output
    kept = tuple(1 if axis in axes else size for axis, size in enumerate(x.shape))
    steps = tuple(0 if axis in axes else step for axis, step in enumerate(strides(kept, x.order)))
    nest = Nest.over(x.shape, x.order, [steps, x.strides], set())
    return filled(
        C,
        sums=body.memory("sums", WORD, output.elements),
        outputs=output.elements,
        loops=nest.around([f"sums[{nest.at(0)}] += (int32_t)x0[{nest.at(1)}];"]),
        rows=task.places,
        chain=finished(task, body, f"sums[p * {output.last} + o]", 2),
    )


KERNEL = Kernel(ops=("sum",), write=_write, cost=lambda task: float(task.inputs[0].elements), order=_order)
