"""Chains of element-wise ops that begin with one: all lanes of a register at a time, along the innermost loop.

Operands lie side by side there or stay; so do constants of an axis. What is left of a row goes one by one.
"""

from __future__ import annotations

from .. import lanes
from ..body import Body, indented
from ..element import Link, chained, elements
from ..kernel import Kernel, Task
from ..loops import Nest, Nested, spread
from ..registers import YMM, Register, widest
from ..variants import AVX2


def _links(task: Task) -> tuple[Link, ...]:
    return Link(task.op, task.call, task.inputs, -1), *task.chain


def _apart(task: Task) -> set[int]:
    """The axes along which constants change."""
    axes = (elements()[link.op].axis(link.call) for link in _links(task))
    return {axis for axis in axes if axis is not None}


def _nested(task: Task) -> Nested:
    output, tensors = task.output, (task.output, *task.reads)
    strides = [spread(each, output.shape) for each in tensors]
    return Nested(Nest.over(output.shape, output.order, strides, _apart(task)), tensors)


def _made(task: Task, body: Body, places: Nested, register: Register) -> list[str] | None:
    steps = dict(zip(places.tensors, places.nest.loops[-1].steps, strict=True))
    return lanes.chained(register, _links(task), body, places, task.named, lambda tensor: steps[tensor] == 1)


def _why_not(task: Task) -> str:
    places = _nested(task)
    inner = places.nest.loops[-1] if places.nest.loops else None
    if inner is None or inner.size < YMM.lanes:
        return "rows are short"
    if inner.steps[0] != 1 or not {0, 1}.issuperset(inner.steps):
        return "elements do not lie side by side"
    if not _apart(task) <= {task.output.order[-1]}:
        return "constants change along another axis"
    return "an op does not fit lanes" if _made(task, Body(""), places, YMM) is None else ""


def _write(task: Task, body: Body) -> str:
    places, output = _nested(task), task.output
    *outer, inner = places.nest.loops
    index, at, register = f"i{len(outer)}", places.of(output), widest(body, inner.size)
    several = [f"{register.type} v;", *(_made(task, body, places, register) or [])]
    several = lanes.written(register, body, output.type, f"y + {at}", several)
    loop = [f"int32_t {index} = 0;", *lanes.loop_of(register, index, str(inner.size), several)]
    if inner.size % register.lanes:
        one = ["int32_t v;", *chained(_links(task), body, places, task.named)]
        one.append(f"y[{at}] = ({body.held(output.type)})v;")
        loop += [f"for (; {index} < {inner.size}; {index}++) {{", *indented(one, 1).splitlines(), "}"]
    return Nest(tuple(outer), places.nest.axes).around(loop)


KERNEL = Kernel(
    ops=tuple(elements()),
    write=_write,
    cost=lambda task: float(0.2 * task.output.elements * (1 + len(task.chain))),
    why_not=_why_not,
    when=AVX2,
)
