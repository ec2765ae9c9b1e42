"""Elements side by side in one register: how they are read, written, and finished by a chain."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ...compiler.arrays import Integers
from ..fixed.types import Range
from .body import Body, Places, indented
from .element import FLOW, Link, elements
from .integers import LONG, WORD, Integer
from .kernel import Task
from .loops import Rows, finished
from .registers import Register, widest
from .tensors import Tensor


def written(register: Register, body: Body, type: Integer, place: str, lines: Sequence[str]) -> list[str]:
    """The statements, and the one that writes `v` from that address on, which saturates at the ends of the type: where
    the last of them do just that, they are left out."""
    kept = list(lines)
    for statement in reversed(clamped(register, LONG.range, type.range.lo, type.range.hi)):
        if kept[-1:] == [statement] and type is not WORD:
            kept.pop()
    return [*kept, register.write(body, type, place, FLOW)]


def constant(register: Register, body: Body, name: str, data: Sequence[int] | Integers, index: str) -> str:
    """The expression of the entries of 32 bits from `index` on, or of the one that all are."""
    listed = [int(each) for each in data]
    if len(set(listed)) == 1:
        return register.every(listed[0])
    return register.read(body, WORD, f"{body.table(name, np.array(listed), WORD)} + {index}")


def constants(register: Register, body: Body, name: str, data: Sequence[int] | Integers, index: str) -> tuple[str, str]:
    """The expressions of those of 64 bits: of the even entries among those from `index` on, and of the odd."""
    listed, half = [int(each) for each in data], register.lanes // 2
    if len(set(listed)) == 1:
        return (register.every(listed[0], LONG),) * 2
    whole = np.pad(np.array(listed, np.int64), (0, -len(listed) % register.lanes)).reshape(-1, half, 2)
    table = body.table(name, np.swapaxes(whole, 1, 2).reshape(-1), LONG)
    return register.read(body, WORD, f"{table} + {index}"), register.read(body, WORD, f"{table} + {index} + {half}")


def clamped(register: Register, before: Range, lo: int, hi: int) -> list[str]:
    """The statements that saturate `v`, which lies in `before`; none where nothing can be outside."""
    low = [f"{FLOW} = {register.call('max_epi32', FLOW, register.every(lo))};"] if before.lo < lo else []
    high = [f"{FLOW} = {register.call('min_epi32', FLOW, register.every(hi))};"] if before.hi > hi else []
    return low + high


def in_lanes(task: Task, body: Body, total: str, depth: int, begin: str = "0", end: str = "") -> str:
    """`finished`, all lanes of a register at a time, as far as they go; `total` is an int32_t in memory.

    begin: a multiple of 16; so is `end`, but for that of the row.
    """
    end, places = end or str(task.output.last), Rows(task.output)
    register = widest(body, task.output.last)

    def made(body: Body) -> list[str] | None:
        return chained(register, task.chain, body, places, task.named, lambda tensor: tensor.elements > 1)

    if made(Body(body.prefix)) is None:
        return finished(task, body, total, depth, begin, end)
    lines = [f"{register.type} v = {register.read(body, WORD, f'&{total}')};", *(made(body) or [])]
    lines = written(register, body, task.output.type, f"y + {places.of(task.output)}", lines)
    loop = f"int32_t o = {begin};\n" + indented(loop_of(register, "o", end, lines), depth)
    if task.output.last % register.lanes == 0:
        return loop
    return "\n".join([loop, "    " * depth + finished(task, body, total, depth, "o", end)])


def loop_of(register: Register, index: str, end: str, lines: Sequence[str]) -> list[str]:
    """The loop over all that fill a register."""
    step = register.lanes
    return [f"for (; {index} + {step} <= {end}; {index} += {step}) {{", *(f"    {line}" for line in lines), "}"]


def chained(
    register: Register,
    links: Sequence[Link],
    body: Body,
    places: Places,
    named: Callable[[Tensor], str],
    goes_on: Callable[[Tensor], bool],
) -> list[str] | None:
    """The statements of a chain, or None where a link is not proven to fit. goes_on: whether a tensor has elements for
    all lanes there, side by side, or one."""

    def given(tensor: Tensor | None) -> str:
        if tensor is None:
            return FLOW
        if goes_on(tensor):
            return register.read(body, tensor.type, f"{named(tensor)} + {places.of(tensor)}")
        return register.every(f"{named(tensor)}[{places.of(tensor)}]")

    lines: list[str] = []
    for link in links:
        write = elements()[link.op].lanes
        more = write(link.call, tuple(map(given, link.operands)), body, places, register) if write else None
        if more is None:
            return None
        lines += more
    return lines
