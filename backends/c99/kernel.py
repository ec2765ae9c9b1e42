"""Kernel, the record of a way to compute ops in C, and the choice among those that apply."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ...compiler.errors import Unsupported
from ...compiler.registry import members
from ..fixed.op import Call
from .body import Body
from .element import Link
from .tensors import Order, Tensor, Wanted, follow
from .variants import MACROS, PORTABLE

PACKAGE = f"{__package__}.kernels"


@dataclass(frozen=True)
class Task:
    """What one C function computes: an op, and the chain of element-wise ops that follows it in the same loops.

    inputs: the operands that are not constants.   output: of the chain, or of the op where there is none.
    makes: the value of the program that the op itself computes; -1 where it is none.   origin: in the model.
    """

    op: str
    call: Call
    inputs: tuple[Tensor, ...]
    output: Tensor
    chain: tuple[Link, ...] = ()
    makes: int = -1
    origin: str = ""

    @property
    def reads(self) -> tuple[Tensor, ...]:
        """Every tensor that it reads, in the order of the function's parameters."""
        others = [tensor for link in self.chain for tensor in link.operands if tensor is not None]
        return tuple(dict.fromkeys((*self.inputs, *others)))

    @property
    def places(self) -> int:
        """Rows of the output along its innermost axis."""
        return self.output.elements // self.output.last

    def named(self, tensor: Tensor) -> str:
        """The function's parameter for a tensor that it reads."""
        return "y" if tensor.buffer == self.output.buffer else f"x{self.reads.index(tensor)}"


@dataclass(frozen=True)
class Kernel:
    """A way to compute some ops.

    ops: which.   order: how their operands and output lie; the same for all kernels of an op.
    why_not: the proof that it is exact for this task, from shapes, ranges and the weights themselves; "" or the reason
    against it.   cost: the nanoseconds that it is expected to take; the cheapest that applies is chosen.
    write: the text of the function's body, from x0, x1, ... to y, with s for its scratch memory.
    when: the macro that the compiler must define, such as "__AVX2__"; "" for portable C99.
    fuses: whether it can run a chain that spreads operands along pixels (see `Rows`); others run any chain.
    """

    ops: tuple[str, ...]
    write: Callable[[Task, Body], str]
    cost: Callable[[Task], float]
    why_not: Callable[[Task], str] = lambda task: ""
    order: Callable[[Call, tuple[Order, ...]], Wanted] = follow
    when: str = PORTABLE


def kernels() -> Mapping[str, Kernel]:
    """Every kernel by name."""
    return members(PACKAGE, Kernel)


def kernels_of(op: str) -> dict[str, Kernel]:
    """Those of an op, by name. Raises Unsupported where there is none."""
    found = {name: kernel for name, kernel in kernels().items() if op in kernel.ops}
    if not found:
        raise Unsupported(f"C99 has no kernel for '{op}'", fix="run it on another target, or add a kernel")
    return found


def chosen(task: Task, variants: Sequence[str] = (PORTABLE,)) -> dict[str, str]:
    """Variant -> the name of the cheapest kernel that applies, among those that run where its macro is defined."""
    known = {each: MACROS[: MACROS.index(each) + 1] for each in variants}
    costs = {
        name: kernel.cost(task)
        for name, kernel in kernels_of(task.op).items()
        if any(kernel.when in macros for macros in known.values()) and not kernel.why_not(task)
    }
    own = {each: [name for name in costs if kernels()[name].when in macros] for each, macros in known.items()}
    return {each: min(names, key=lambda name: costs[name]) for each, names in own.items() if names}
