"""Element, the record of an op that works element by element, and chains of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ...compiler.registry import members
from ..fixed.op import Call
from .body import Body, Places
from .registers import Register
from .tensors import Tensor

PACKAGE = f"{__package__}.elements"
FLOW = "v"


@dataclass(frozen=True)
class Element:
    """An op that works element by element; the file's name is the op's.

    write: (call, C expressions of its operands, body, places) -> statements that leave the result in `v`, an int32_t.
    vectors: the names of the constants that may have one entry for each index of the attribute `axis`.
    lanes: the same as `write` for all lanes of a register at a time (see `lanes`), along the innermost axis; gives None
    where it cannot be proven to fit. Without it, loops that end in this op take one element at a time.
    """

    write: Callable[[Call, tuple[str, ...], Body, Places], list[str]]
    vectors: tuple[str, ...] = ()
    lanes: Callable[[Call, tuple[str, ...], Body, Places, Register], list[str] | None] | None = None

    def axis(self, call: Call) -> int | None:
        """The axis along which its constants change, if they do."""
        several = any(call.operands[name].shape[0] > 1 for name in self.vectors)
        return int(call.attributes["axis"]) if several else None  # type: ignore[arg-type]


@dataclass(frozen=True)
class Link:
    """One op of a chain. operands: where it reads, in order; None is what flows along the chain."""

    op: str
    call: Call
    operands: tuple[Tensor | None, ...]
    output: int


def elements() -> Mapping[str, Element]:
    """Every such op by name."""
    return members(PACKAGE, Element)


def chained(links: Sequence[Link], body: Body, places: Places, named: Callable[[Tensor], str]) -> list[str]:
    """The statements of a chain, from `v` to `v`. named: the pointer to a tensor."""
    lines: list[str] = []
    for link in links:
        given = tuple(
            FLOW if tensor is None else f"(int32_t){named(tensor)}[{places.of(tensor)}]" for tensor in link.operands
        )
        lines += elements()[link.op].write(link.call, given, body, places)
    return lines
