"""What one C function is made of besides its text: constant tables, scratch memory, functions that it calls."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from string import Template
from typing import Any, Protocol

import numpy as np

from ...compiler.arrays import Integers
from ..fixed.types import Range
from .integers import Integer, literal, smallest
from .tensors import Tensor

ALIGNMENT = 16


@dataclass(frozen=True, eq=False)
class Table:
    """Constants under a name that the function knows them by."""

    name: str
    type: Integer
    data: Integers

    @cached_property
    def key(self) -> tuple[str, bytes]:
        """What tells its content from that of another."""
        return self.type.name, hashlib.sha256(self.data.astype("<i8").tobytes()).digest()


class Places(Protocol):
    """How the loops around an element name its place."""

    def along(self, axis: int) -> str:
        """The index along that axis of the output."""

    def of(self, tensor: Tensor) -> str:
        """Where the element of that operand lies, which may be spread."""


@dataclass
class Body:
    """Collects what the text of a function refers to. prefix: of the functions that functions share.

    weights: in which form they lie in flash, see `weights`.   when: the macro of the variant that it is for.
    begins: statements ahead of the text.
    """

    prefix: str
    weights: str = "plain"
    when: str = ""
    begins: list[str] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    helpers: dict[str, str] = field(default_factory=dict)
    scratch: int = 0

    def table(self, name: str, data: Integers, type: Integer | None = None) -> str:
        """Make constants known; `name` is numbered where it is taken. Returns the name."""
        taken = sum(table.name.rstrip("0123456789") == name for table in self.tables)
        made = Table(f"{name}{taken or ''}", type or smallest(Range.of(data)), np.ascontiguousarray(data))
        self.tables.append(made)
        return made.name

    def constant(self, name: str, data: Sequence[int] | Integers, index: str, type: Integer | None = None) -> str:
        """The expression of the entry at `index`: a literal where all are the same, else out of a table."""
        listed = [int(each) for each in data]
        if len(set(listed)) == 1:
            return literal(listed[0])
        return f"{self.table(name, np.array(listed), type)}[{index}]"

    def memory(self, name: str, type: Integer, count: int) -> str:
        """The declaration of scratch memory, which holds nothing before and behind the function."""
        start = self.scratch
        self.scratch += -(-count * type.size // ALIGNMENT) * ALIGNMENT
        return f"{self.held(type)} *const {name} = ({self.held(type)} *)(void *)(s + {start});"

    def held(self, type: Integer) -> str:
        """The type as memory holds it: the arena holds one type after another in the same place."""
        return held(self.prefix, type)

    def helper(self, name: str, template: str, **values: Any) -> str:
        """Make a function known that others may share, `$name` in its text; returns its whole name."""
        whole = f"{self.prefix}_{name}"
        self.helpers[whole] = filled(template, name=whole, **values)
        return whole


def held(prefix: str, type: Integer) -> str:
    """The name of a type as memory holds it."""
    return type.name if type.size == 1 else f"{prefix}_{type.dtype}"


def filled(template: str, **values: Any) -> str:
    """C with its $names filled in. Raises KeyError where one is missing."""
    return Template(template).substitute(values)


def indented(lines: Sequence[str], depth: int) -> str:
    """Lines one under another, so many steps in; for a place of a template that begins a line."""
    return "\n".join("    " * depth + line for line in lines)
