"""The integer operations found in `ops/`, by name and by their number in a file."""

from __future__ import annotations

import functools
from collections.abc import Mapping

from ...compiler.errors import Broken, UserError
from ...compiler.registry import members
from .op import Op

PACKAGE = f"{__package__}.ops"


def ops() -> Mapping[str, Op]:
    """Every op by name."""
    return members(PACKAGE, Op)


def op_named(name: str) -> Op:
    """The op of that name. Raises UserError when there is none."""
    try:
        return ops()[name]
    except KeyError:
        raise UserError(f"no integer op is called '{name}'", fix=f"one of: {', '.join(ops())}") from None


@functools.cache
def names_by_code() -> Mapping[int, str]:
    """Name of the op behind each number used in a file. Raises Broken when two ops share a number."""
    table: dict[int, str] = {}
    for name, op in ops().items():
        if op.code in table:
            raise Broken(f"ops '{table[op.code]}' and '{name}' share the file number {op.code}")
        table[op.code] = name
    return table
