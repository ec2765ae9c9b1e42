"""What `diff` draws: the rows of a difference by module, those that changed alike together, and the same as data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch

from ..backends.fixed.program import Port, Program
from ..compiler.graph import Graph
from ..compiler.inspection.difference import Row
from ..compiler.inspection.entries import Entry, Ref, entries
from .outlines import place

SCREEN = 40
"""Lines of differences that are all shown; of more, modules that changed alike are shown once."""
MODEL = "the model itself"
"""Name of the module whose path is empty."""
RUN = 12
"""Additions in a row, or removals, that are all shown where modules that changed alike are not."""
NAMED = 6
"""Modules that a line names at most."""


def entered(shown: Graph | Program) -> list[Entry]:
    """A graph or a program as what can be compared."""
    return entries(shown) if isinstance(shown, Graph) else _entered(shown)


def _entered(program: Program) -> list[Entry]:
    made = {step.output: step for step in program.steps}
    homes = {index: place(step.origin)[0] for step in reversed(program.steps) for index in step.inputs}
    found = []
    for index, value in enumerate(program.values):
        name, span = f"%{index}", [value.range.lo, value.range.hi]
        if value.data is not None:
            sizes = f"int[{','.join(map(str, value.shape))}]"
            data = torch.tensor(value.data)
            found.append(Entry(name, "constant", sizes, homes.get(index, ""), {}, data, stable=False))
            continue
        sizes = f"int[{','.join(map(str, ('N', *value.shape)))}]"
        if (step := made.get(index)) is None:
            found.append(Entry(name, "input", sizes, "", {"range": span}, stable=False))
            continue
        read = {"inputs": [Ref(i) for i in step.inputs], **dict(sorted(step.attributes.items())), "range": span}
        found.append(Entry(name, step.op, sizes, place(step.origin)[0], read, stable=False))
    ends = {"take": program.inputs, "return": program.outputs}
    return [*found, *(Entry(what, what, "", "", _ports(ports), stable=False) for what, ports in ends.items())]


def _ports(ports: Sequence[Port]) -> dict[str, Any]:
    return {str(i): [Ref(p.value), f"{p.multiplier}*2^{-p.shift}*(q-{p.zero})"] for i, p in enumerate(ports)}


@dataclass(frozen=True)
class Module:
    """The rows of one module, in order."""

    path: str
    rows: tuple[Row, ...]

    @property
    def changed(self) -> list[Row]:
        return [row for row in self.rows if row.sign != " "]

    @property
    def likeness(self) -> tuple[tuple[str, str, tuple[str, ...]], ...]:
        """What modules that changed alike have in common."""
        return tuple((row.sign, row.op, tuple(part.what for part in row.parts)) for row in self.changed)


def modules(rows: Iterable[Row]) -> list[Module]:
    """The rows by module, in the order in which the modules begin."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row.layer, []).append(row)
    return [Module(path, tuple(own)) for path, own in found.items()]


def lines(found: Sequence[Module], everything: bool) -> Iterator[str]:
    """The differences, module by module, and how much is as it was.

    everything: show modules that changed alike one by one, even if they fill more than a screen.
    """
    groups: dict[Any, list[Module]] = {}
    apart = everything or sum(len(module.changed) for module in found) <= SCREEN
    for module in found:
        if module.changed:
            groups.setdefault(module.path if apart else module.likeness, []).append(module)
    for first, *others in groups.values():
        yield from _module(first, apart)
        if others:
            names = [other.path or MODEL for other in others[:NAMED]]
            more = f" and {len(others) - NAMED} more" if len(others) > NAMED else ""
            yield f"  and likewise in {', '.join(names)}{more}"
    same = [module for module in found if not module.changed]
    if same and len(same) < len(found):
        yield f"  {sum(len(module.rows) for module in same):,} unchanged in {len(same):,} other modules"
    yield summary(found)


def _module(module: Module, everything: bool) -> Iterator[str]:
    yield module.path or MODEL
    for sign, run in groupby(module.rows, key=lambda row: row.sign):
        rows = list(run)
        if sign == " ":
            yield f"    {len(rows):,} unchanged"
            continue
        shown = rows if everything or len(rows) <= RUN else rows[: RUN // 2]
        for row in shown:
            yield from _drawn(row, len(row.parts) if everything else RUN)
        if rows[len(shown) :]:
            kinds = Counter(row.op for row in rows[len(shown) :])
            yield f"  {sign} {kinds.total():,} more: {', '.join(f'{count:,} {op}' for op, count in kinds.items())}"


def _drawn(row: Row, most: int) -> Iterator[str]:
    if row.sign != "~":
        reads = f"({', '.join(f'{name}={value}' for name, value in row.reads.items())})" if row.reads else ""
        yield f"  {row.sign} {row.name}: {row.type} = {row.op}{reads}"
        return
    named = row.name if row.name == row.was else f"{row.was} -> {row.name}"
    yield f"  ~ {named}: {row.op}"
    for part in row.parts[:most]:
        yield f"      {part.what}: {f'{part.old} -> {part.new}' if part.old else part.new}"
    if row.parts[most:]:
        yield f"      and {len(row.parts) - most:,} more"


def summary(found: Sequence[Module]) -> str:
    """How many entries were added, removed, changed and left."""
    counts = _counts(found)
    if counts["added"] == counts["removed"] == counts["changed"] == 0:
        return f"equal: {counts['unchanged']:,} unchanged"
    return ", ".join(f"{number:,} {what}" for what, number in counts.items())


def _counts(found: Sequence[Module]) -> Mapping[str, int]:
    signs = Counter(row.sign for module in found for row in module.rows)
    return {"added": signs["+"], "removed": signs["-"], "changed": signs["~"], "unchanged": signs[" "]}


def described(found: Sequence[Module]) -> dict[str, Any]:
    """The same as plain data, every difference of every module."""
    return {
        **_counts(found),
        "modules": [
            {
                "module": module.path,
                "unchanged": len(module.rows) - len(module.changed),
                "differences": [_plain(row) for row in module.changed],
            }
            for module in found
            if module.changed
        ],
    }


def _plain(row: Row) -> dict[str, Any]:
    return {
        "sign": row.sign,
        "name": row.name,
        "was": row.was or None,
        "op": row.op,
        "type": row.type,
        "arguments": dict(row.reads),
        "parts": [vars(part) for part in row.parts],
    }
