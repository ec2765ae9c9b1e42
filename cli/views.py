"""Graphs, programs and files as rows of a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from ..backends.blob import Entry
    from ..backends.fixed.program import Program
    from ..compiler.graph import Graph

SHOWN = 5
"""Operands of a call that a table has room for."""
View: TypeAlias = tuple[Sequence[str], list[tuple[object, ...]]]
"""The columns of a table, and its rows."""


def graph(shown: Graph) -> View:
    """One row a call or input of the graph; parameters and buffers are named where they are read."""
    from ..compiler.text import described

    facts = described(shown)
    names = {node["node"]: node.get("name", node["node"]) for node in facts["nodes"]}
    ends = [("returns", facts["outputs"]), ("penalties", facts["penalties"])]
    rows: list[tuple[object, ...]] = [
        (
            node["node"],
            node["op"],
            ", ".join(_read(node["arguments"], names)),
            node["type"],
            node["layer"],
            node["source"],
        )
        for node in facts["nodes"]
        if node["op"] != "state"
    ]
    rows += [("", what, ", ".join(nodes), "", "", "") for what, nodes in ends if nodes]
    rows += [("", "updates", f"{name} = {node}", "", "", "") for name, node in facts["updates"].items()]
    return ("node", "op", "reads", "type", "layer", "source"), rows


def program(shown: Program) -> View:
    """One row a step or input of the integer program, with its proven range; constants are drawn as their shape.

    A program from a file does not know where its steps come from.
    """
    steps = {step.output: step for step in shown.steps}
    rows: list[tuple[object, ...]] = []
    for index, value in enumerate(shown.values):
        if value.data is not None:
            continue
        step = steps.get(index)
        reads = [_operand(i, shown.values[i].shape, shown.values[i].data) for i in step.inputs] if step else []
        shape = f"[N,{','.join(map(str, value.shape))}]"
        op, origin = (step.op, step.origin) if step else ("input", "")
        rows.append((f"%{index}", op, ", ".join(reads), shape, str(value.range), value.range.bits, origin))
    for what, ports in (("takes", shown.inputs), ("returns", shown.outputs)):
        rows += [("", what, f"%{port.value} = {port.scale:.9g} * (q - {port.zero})", "", "", "", "") for port in ports]
    columns = ("value", "op", "reads", "shape", "range", "bits", "from")
    return (columns, rows) if any(row[-1] for row in rows) else (columns[:-1], [row[:-1] for row in rows])


def file(entries: Sequence[Entry]) -> View:
    """One row a part of the file, and their sum."""
    rows: list[tuple[object, ...]] = [
        (entry.what, entry.bytes, f"{entry.values:,}" if entry.values else "", _bits(entry)) for entry in entries
    ]
    total = sum(entry.bytes for entry in entries)
    return ("part", "bytes", "integers", "bits each"), [*rows, ("all", total, "", "")]


def _read(arguments: dict[str, Any], names: dict[str, str]) -> list[str]:
    """The operands of a call: nodes by number, parameters and buffers by name."""
    flat = [item for value in arguments.values() for item in (value if isinstance(value, list) else [value])]
    read = [names[item] for item in flat if isinstance(item, str) and item in names]
    return read if len(read) <= SHOWN else [*read[: SHOWN - 1], f"and {len(read) - SHOWN + 1} more"]


def _operand(index: int, shape: tuple[int, ...], data: object) -> str:
    return f"%{index}" if data is None else f"{list(shape)}"


def _bits(entry: Entry) -> str:
    return f"{8 * entry.bytes / entry.values:.2f}" if entry.values else ""
