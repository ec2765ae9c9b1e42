"""Op, the one record of an integer operation; everything else about the op is derived from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from ...compiler.arrays import Integers
from .types import Range

Attribute: TypeAlias = int | tuple[int, ...]


@dataclass(frozen=True)
class Legal:
    """The legal values of an attribute: one integer in [lo, hi], or `length` of them (0: any number)."""

    lo: int
    hi: int
    length: int | None = None

    def accepts(self, value: object) -> bool:
        if self.length is None:
            return isinstance(value, int) and self.lo <= value <= self.hi
        if not isinstance(value, tuple) or (self.length and len(value) != self.length):
            return False
        return all(isinstance(v, int) and self.lo <= v <= self.hi for v in value)


@dataclass(frozen=True)
class Operand:
    """What the verifier knows of one input: its shape, its proven range, its data if it is a constant.

    The shape of a constant is whole; the shape of any other value leaves out the leading batch axis.
    """

    shape: tuple[int, ...]
    range: Range
    data: Integers | None = None


@dataclass(frozen=True)
class Call:
    """One step as its op's rules see it: operands by input name, attributes by name."""

    operands: Mapping[str, Operand]
    attributes: Mapping[str, Attribute]

    def __getattr__(self, name: str) -> Any:
        for table in (self.__dict__["operands"], self.__dict__["attributes"]):
            if name in table:
                return table[name]
        raise AttributeError(name)


@dataclass(frozen=True)
class Constraint:
    """A numbered predicate that every legal step fulfils, with the sentence that states it."""

    name: str
    sentence: str
    holds: Callable[[Call], bool]


@dataclass(frozen=True)
class Op:
    """An integer operation. The file's docstring holds its equation; the file's name is its name.

    code: its number in a `.lowbit` file, never reused.   inputs: names in order.
    constants: the inputs whose data must be known when the program is built.
    constraints: in the order they are checked; each may rely on those before it. C1 of an op that accumulates is the
    proof that nothing overflows; it reads shapes and constants, so it comes last.
    shape, range: shape without batch and proven interval of the output; asked only when all constraints hold.
    value: the meaning, on numpy arrays of Python integers with a leading batch axis (constants without), attributes
    as keywords.   edges: operand values where the equation changes branch, given the call.
    expand: (builder, *inputs, origin, **attributes) -> output index, the same in smaller ops; None for a core op,
    which every target implements.
    """

    code: int
    inputs: tuple[str, ...]
    shape: Callable[[Call], tuple[int, ...]]
    range: Callable[[Call], Range]
    value: Callable[..., Integers]
    constants: tuple[str, ...] = ()
    attributes: Mapping[str, Legal] = field(default_factory=dict)
    constraints: tuple[Constraint, ...] = ()
    edges: Callable[[Call], list[int]] = lambda call: []
    expand: Callable[..., int] | None = None
