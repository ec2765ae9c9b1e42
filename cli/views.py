"""Graphs, programs and files as rows of a table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from ..backends.blob import Entry
    from ..backends.fixed.program import Program
    from ..compiler.graph import Graph
    from ..compiler.inspection.outline import Item, Part
    from .folding import Row

SHOWN = 5
"""Operands of a call that a table has room for."""
View: TypeAlias = tuple[Sequence[str], list[tuple[object, ...]]]
"""The columns of a table, and its rows."""


def graph(shown: Graph) -> View:
    """One row a call or input of the graph; parameters and buffers are named where they are read."""
    from ..compiler.text import described

    facts = described(shown)
    names = {node["node"]: node.get("name", node["node"]) for node in facts["nodes"]}
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
    rows.append(("", "returns", ", ".join(facts["outputs"]), "", "", ""))
    rows += [("", "penalty", f"{name} = {term}", "", "", "") for name, (term, *_) in facts["penalties"].items()]
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


def outline(root: Row, own: str) -> View:
    """One row a module of a folded outline, opened calls below theirs, and the sums of the whole at the end.

    own: what the model's own numbers are called: parameters, or in a program integers.
    """
    inputs = [(item.op, "", "", item.type, "", "", "") for item in root.parts[0].items if item.is_input]
    rows = [*inputs, *(cells for row in root.rows or (root,) for cells in _rows(row, root))]
    rows.append(("total", "", *_sums(root, root.parts[0].type), ""))
    columns = ("module", "class" if own == "parameters" else "steps", "nodes", "output", own, "MACs", "source")
    return _aligned(columns, rows, numbers=(2, 4, 5))


def notes(root: Part) -> list[str]:
    """What a table of modules cannot tell: which parameters are the same tensor."""
    tied = [f"{name} is {first}" for part in root.walk() for name, first in part.tied.items()]
    return [f"tied, counted once: {'; '.join(_few(tied))}"] if tied else []


def _rows(row: Row, above: Row) -> Iterator[tuple[str, ...]]:
    indent, part = "  " * (row.level - 1), row.parts[0]
    name = f"{indent}{row.label(above)}"
    if row.is_own:
        yield (name, "", *_sums(row, ""), "")
    else:
        yield (name or "(model)", part.kind, *_sums(row, part.type), "")
    for item in row.items:
        yield _called(item, f"{indent}  ", f"{part.path}." if part.path else "")
    for inner in row.rows:
        yield from _rows(inner, row)


def _called(item: Item, indent: str, inside: str) -> tuple[str, ...]:
    """The row of a call; tensors are named as they stand in the module that is open."""
    reads = ", ".join(_few([name.removeprefix(inside) for name in item.reads], 3))
    place = item.source.partition("  ")[0]
    return f"{indent}{item.name} {item.op}", reads, "", item.type, "", _count(item.macs), place


def _sums(row: Row, kind: str) -> tuple[str, str, str, str]:
    return f"{row.calls:,}", kind, "tied" if row.is_tied else _count(row.parameters), _count(row.macs)


def _count(number: int) -> str:
    return f"{number:,}" if number else ""


def _aligned(columns: Sequence[str], rows: Sequence[Sequence[str]], numbers: Sequence[int]) -> View:
    """Columns of numbers to the right, whatever else stands in them; columns with nothing in them are left out."""
    kept = [place for place in range(len(columns)) if any(row[place] for row in rows)]
    width = {place: max(len(row[place]) for row in (columns, *rows)) for place in numbers}
    table = [[row[p].rjust(width[p]) if p in width else row[p] for p in kept] for row in (columns, *rows)]
    return table[0], [tuple(row) for row in table[1:]]


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
    return _few([names[item] for item in flat if isinstance(item, str) and item in names])


def _few(read: list[str], room: int = SHOWN) -> list[str]:
    return read if len(read) <= room else [*read[: room - 1], f"and {len(read) - room + 1} more"]


def _operand(index: int, shape: tuple[int, ...], data: object) -> str:
    return f"%{index}" if data is None else f"{list(shape)}"


def _bits(entry: Entry) -> str:
    return f"{8 * entry.bytes / entry.values:.2f}" if entry.values else ""
