"""One arena for all values: results where an operand ends, and places apart for what is held at one time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import networkx as nx

from .body import ALIGNMENT
from .element import elements
from .kernel import Task
from .schedule import ARENA, Schedule
from .tensors import Tensor


@dataclass(frozen=True)
class Block:
    """Memory of `size` bytes that is held from the task `first` to the task `last`, both included."""

    size: int
    first: int
    last: int

    def meets(self, other: Block) -> bool:
        """Whether there is a task at which both are held."""
        return self.first <= other.last and other.first <= self.last


@dataclass(frozen=True)
class Arena:
    """offsets: of each block.   size: bytes in all.   bound: the most bytes that are held at one task."""

    offsets: tuple[int, ...]
    size: int
    bound: int


def blocks(schedule: Schedule) -> dict[int, Block]:
    """The lives of the buffers in the arena; in a whole schedule all stay to the end."""
    lives: dict[int, Block] = {}
    for time, task in enumerate(schedule.tasks):
        for tensor in (task.output, *task.reads):
            buffer = schedule.buffers[tensor.buffer]
            if buffer.where == ARENA:
                first = lives[tensor.buffer].first if tensor.buffer in lives else time
                last = len(schedule.tasks) if schedule.whole else time
                lives[tensor.buffer] = Block(buffer.bytes, first, last)
    return lives


def in_place(schedule: Schedule) -> Schedule:
    """The same with results in the memory of an operand that ends there, where each element has the same place."""
    if schedule.whole:
        return schedule
    lives, moved = blocks(schedule), dict[int, int]()

    def now(tensor: Tensor) -> Tensor:
        return replace(tensor, buffer=moved.get(tensor.buffer, tensor.buffer))

    tasks = []
    for time, task in enumerate(schedule.tasks):
        renamed = _renamed(task, now)
        for tensor in _beside(renamed):
            life = lives.get(tensor.buffer)
            if life and life.last == time and task.output.buffer in lives:
                own = task.output.buffer
                moved[own] = tensor.buffer
                lives[tensor.buffer] = replace(life, last=lives[own].last)
                renamed = _renamed(task, now)
                break
        tasks.append(renamed)
    return replace(schedule, tasks=tuple(tasks))


def _beside(task: Task) -> list[Tensor]:
    """The operands that are read only where, and right before, the output is written."""
    links = [tensor for link in task.chain for tensor in link.operands if tensor is not None]
    others = [tensor.buffer for tensor in task.inputs]
    if task.op in elements():
        links, others = [*task.inputs, *links], []
    strays = {tensor.buffer for tensor in task.reads if not _alike(tensor, task.output)}
    return [tensor for tensor in links if tensor.buffer not in strays.union(others)]


def _alike(tensor: Tensor, output: Tensor) -> bool:
    """Whether its elements have the places and the type of the output's."""
    return tensor.shape == output.shape and tensor.type == output.type and tensor.lies(output.order)


def _renamed(task: Task, now: Callable[[Tensor], Tensor]) -> Task:
    chain = tuple(
        replace(link, operands=tuple(tensor and now(tensor) for tensor in link.operands)) for link in task.chain
    )
    return replace(task, inputs=tuple(map(now, task.inputs)), output=now(task.output), chain=chain)


def arranged(held: Sequence[Block]) -> Arena:
    """Places for the blocks: those that are held at one task lie apart. The best of a few orders, each block as low as
    it goes."""
    graph = nx.Graph()
    graph.add_nodes_from(range(len(held)))
    graph.add_edges_from((i, j) for j in range(len(held)) for i in range(j) if held[i].meets(held[j]))
    orders: list[Callable[[int], tuple[int, ...]]] = [
        lambda i: (-held[i].size, held[i].first),
        lambda i: (-held[i].size * (held[i].last - held[i].first + 1), held[i].first),
        lambda i: (held[i].first, -held[i].size),
        lambda i: (-held[i].last, -held[i].size),
    ]
    found = [_packed(held, graph, sorted(range(len(held)), key=order)) for order in orders]
    best = min(found, key=lambda offsets: _size(held, offsets))
    return Arena(tuple(best), _size(held, best), bound(held))


def bound(held: Sequence[Block]) -> int:
    """The most bytes that are held at one task: no arena can be smaller."""
    return max((sum(b.size for b in held if b.first <= a.first <= b.last) for a in held), default=0)


def _packed(held: Sequence[Block], graph: nx.Graph, order: Sequence[int]) -> list[int]:
    offsets: dict[int, int] = {}
    for number in order:
        start = 0
        for taken in sorted((other for other in graph[number] if other in offsets), key=offsets.__getitem__):
            if start + held[number].size <= offsets[taken]:
                break
            start = max(start, _aligned(offsets[taken] + held[taken].size))
        offsets[number] = start
    return [offsets[number] for number in range(len(held))]


def _size(held: Sequence[Block], offsets: Sequence[int]) -> int:
    return max((offset + block.size for block, offset in zip(held, offsets, strict=True)), default=0)


def _aligned(offset: int) -> int:
    return -(-offset // ALIGNMENT) * ALIGNMENT
