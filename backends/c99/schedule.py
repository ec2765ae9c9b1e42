"""The functions that a program becomes, in order: ops with the chains that follow them, and values put in order."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from functools import cached_property

from ..fixed.op import Call, Operand
from ..fixed.program import Program, Step
from ..fixed.registry import op_named
from .element import Link, elements
from .integers import Integer, smallest
from .kernel import Task, kernels_of
from .move import moves
from .tensors import Order, Tensor, Wanted, row_major

INPUT, OUTPUT, ARENA = "in", "out", "arena"


@dataclass(frozen=True)
class Buffer:
    """Memory of that many elements: in the arena, or what the caller gives as the input or output of that number."""

    elements: int
    type: Integer
    where: str = ARENA
    port: int = 0

    @property
    def bytes(self) -> int:
        return self.elements * self.type.size


@dataclass(frozen=True)
class Schedule:
    """tasks: in order.   buffers: by number.   values: where each value of the program that is kept lies."""

    program: Program
    tasks: tuple[Task, ...]
    buffers: tuple[Buffer, ...]
    values: dict[int, Tensor]
    whole: bool


def scheduled(program: Program, whole: bool = False) -> Schedule:
    """Tasks for the program. whole: every value of it is computed and kept, so no op runs in the loops of another."""
    return _Scheduler(program, whole).schedule()


@dataclass
class _Scheduler:
    program: Program
    whole: bool

    def __post_init__(self) -> None:
        self.buffers: list[Buffer] = []
        self.tasks: list[Task] = []
        self.held: dict[int, list[Tensor]] = {}
        self.done: set[int] = set()

    def schedule(self) -> Schedule:
        for number, port in enumerate(self.program.inputs):
            value = self.program.values[port.value]
            self.held[port.value] = [self._tensor(port.value, row_major(len(value.shape)), INPUT, number)]
        for step in self.program.steps:
            if step.output not in self.done:
                self._place(step)
        for number, port in enumerate(self.program.outputs):
            self._deliver(number, port.value)
        values = {value: tensors[0] for value, tensors in self.held.items()}
        return Schedule(self.program, tuple(self.tasks), tuple(self.buffers), values, self.whole)

    @cached_property
    def readers(self) -> Counter[int]:
        ports = [port.value for port in self.program.outputs]
        return Counter([*(i for step in self.program.steps for i in step.inputs), *ports])

    @cached_property
    def reader(self) -> dict[int, Step]:
        return {i: step for step in self.program.steps for i in step.inputs}

    def _place(self, step: Step) -> None:
        call = self._call(step)
        given = [i for i in step.inputs if self.program.values[i].data is None]
        wanted, order = self._wanted(step, call, given)
        inputs = tuple(self._in_order(i, each) for i, each in zip(given, wanted, strict=True))
        if step.op in moves() and moves()[step.op].renames:
            shape = self.program.values[step.output].shape
            self.held[step.output] = [replace(inputs[0], shape=shape, order=order)]
            return
        chain = [] if self.whole or step.op in moves() else self._chain(step, order)
        value = chain[-1].output if chain else step.output
        output = self._tensor(value, order)
        self.tasks.append(Task(step.op, call, inputs, output, tuple(chain), step.output, step.origin))
        self.held[value] = [output]

    def _wanted(self, step: Step, call: Call, given: list[int]) -> Wanted:
        orders = tuple(self.held[i][0].order for i in given)
        if step.op in moves():
            return moves()[step.op].order(call, orders)
        if step.op in elements():
            return (None,) * len(orders), self._order_of_elements(step, given)
        first = next(iter(kernels_of(step.op).values()))
        return first.order(call, orders)

    def _order_of_elements(self, step: Step, given: list[int]) -> Order:
        """As the first operand lies that is not spread."""
        shape = self.program.values[step.output].shape
        whole = [self.held[i][0].order for i in given if self.program.values[i].shape == shape]
        return whole[0] if whole else row_major(len(shape))

    def _chain(self, root: Step, order: Order) -> list[Link]:
        """The steps that follow as the only reader of what goes before, and read else only what is there already."""
        links: list[Link] = []
        value = root.output
        while (step := self._follower(value, root, order)) is not None:
            call = self._call(step)
            given = [i for i in step.inputs if self.program.values[i].data is None]
            operands = tuple(None if i == value else self._beside(i, root, order) for i in given)
            links.append(Link(step.op, call, operands, step.output))
            self.done.add(step.output)
            value = step.output
        return links

    def _follower(self, value: int, root: Step, order: Order) -> Step | None:
        step = self.reader.get(value)
        if step is None or self.readers[value] != 1 or step.op not in elements():
            return None
        shape = self.program.values[value].shape
        if self.program.values[step.output].shape != shape:
            return None
        others = [i for i in step.inputs if self.program.values[i].data is None and i != value]
        if any(i not in self.held for i in others):
            return None
        if root.op in elements():
            return step
        axis = elements()[step.op].axis(self._call(step))
        spread = (self.program.values[i].shape for i in others)
        fits = all(each == shape or _only_along(each, order) for each in spread)
        return step if fits and axis in (None, *order[-1:]) else None

    def _beside(self, value: int, root: Step, order: Order) -> Tensor:
        """An operand of a chain; where the root has rows, in the order that these have."""
        return self.held[value][0] if root.op in elements() else self._in_order(value, order)

    def _in_order(self, value: int, order: Order | None) -> Tensor:
        if order is None:
            return self.held[value][0]
        for tensor in self.held[value]:
            if tensor.lies(order):
                return replace(tensor, order=order)
        tensor, moved = self.held[value][0], self._tensor(value, order)
        self._reorder(value, tensor, moved)
        self.held[value].append(moved)
        return moved

    def _reorder(self, value: int, tensor: Tensor, moved: Tensor) -> None:
        operand = Operand(tensor.shape, self.program.values[value].range)
        self.tasks.append(Task("reorder", Call({"x": operand}, {}), (tensor,), moved))

    def _deliver(self, number: int, value: int) -> None:
        """The value in the caller's memory: computed there, or copied to where it is wanted elsewhere too."""
        tensor = self._in_order(value, row_major(len(self.program.values[value].shape)))
        buffer = self.buffers[tensor.buffer]
        if buffer.where == ARENA and not self.whole:
            self.buffers[tensor.buffer] = replace(buffer, where=OUTPUT, port=number)
            return
        self._reorder(value, tensor, self._tensor(value, tensor.order, OUTPUT, number))

    def _tensor(self, value: int, order: Order, where: str = ARENA, port: int = 0) -> Tensor:
        held = self.program.values[value]
        type = smallest(held.range)
        tensor = Tensor(len(self.buffers), held.shape, order, type)
        self.buffers.append(Buffer(tensor.elements, type, where, port))
        return tensor

    def _call(self, step: Step) -> Call:
        values = [self.program.values[i] for i in step.inputs]
        operands = [Operand(value.shape, value.range, value.data) for value in values]
        return Call(dict(zip(op_named(step.op).inputs, operands, strict=True)), step.attributes)


def _only_along(shape: tuple[int, ...], order: Order) -> bool:
    """Whether a shape is spread along all axes but the innermost."""
    return all(size == 1 for axis, size in enumerate(shape) if axis not in order[-1:])
