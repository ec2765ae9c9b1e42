"""Chains of element-wise ops that begin with one: loops over the output as it lies, each operand wherever it lies."""

from __future__ import annotations

from ..body import Body
from ..element import Link, chained, elements
from ..kernel import Kernel, Task
from ..loops import Nest, Nested, spread


def _write(task: Task, body: Body) -> str:
    output, reads = task.output, task.reads
    links = (Link(task.op, task.call, task.inputs, -1), *task.chain)
    apart = {axis for link in links if (axis := elements()[link.op].axis(link.call)) is not None}
    tensors = (output, *reads)
    nest = Nest.over(output.shape, output.order, [spread(each, output.shape) for each in tensors], apart)
    places = Nested(nest, tensors)
    lines = ["int32_t v;", *chained(links, body, places, task.named)]
    return nest.around([*lines, f"y[{places.of(output)}] = ({body.held(output.type)})v;"])


KERNEL = Kernel(
    ops=tuple(elements()),
    write=_write,
    cost=lambda task: float(task.output.elements * (1 + len(task.chain))),
)
