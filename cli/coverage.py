"""Coverage as a table: a summary, equal calls of one class in one row, and single calls where they are asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, TypeAlias

from ..backends.lowering.coverage import Covered
from ..compiler.errors import UserError
from ..compiler.graph import origin
from ..compiler.text import target_name

Rows: TypeAlias = list[tuple[str, str, str, str]]
ORDER = ("unsupported", "integer", "folded")


@dataclass(frozen=True)
class Line:
    """What is drawn of one call.   place: the user's file and line."""

    status: str
    op: str
    layer: str
    kind: str
    place: str
    why: str
    fix: str


def lines(found: Iterable[Covered], classes: Mapping[str, str]) -> list[Line]:
    """The calls as they are drawn. classes: module path -> name of its class."""
    made = []
    for covered in found:
        node, at = covered.node, origin(covered.node)
        op = {"placeholder": f"input {node.target}", "call_module": f"leaf {classes.get(str(node.target), '')}"}
        name = op.get(node.op) or target_name(node.target)
        place = at.source.partition("  ")[0]
        made.append(Line(covered.status, name, at.layer, classes.get(at.layer, ""), place, covered.why, covered.fix))
    return made


def summary(drawn: Sequence[Line]) -> str:
    """How many calls become what, in a sentence."""
    number = counts(drawn)
    return f"coverage: {', '.join(f'{number[status]:,} {status}' for status in ('integer', 'folded', 'unsupported'))}"


def counts(drawn: Sequence[Line]) -> dict[str, int]:
    """How many calls become what."""
    number = Counter(line.status for line in drawn)
    return {status: number[status] for status in ORDER}


def sections(drawn: Sequence[Line], patterns: Sequence[str] = (), every: bool = False) -> list[tuple[str, Rows]]:
    """For each fate and reason its rows, unsupported first: operator, class, number of calls, the place of the first.

    patterns: of module paths whose calls have a row each.   every: all have.   Raises UserError for a pattern that
    fits no module.
    """
    for pattern in patterns:
        if not any(fnmatchcase(line.layer, pattern) for line in drawn):
            raise UserError(f"no call stands in a module like '{pattern}'", fix="`lowbit show` lists the modules")
    groups: dict[str, dict[object, list[Line]]] = {}
    for number, line in enumerate(sorted(drawn, key=lambda line: ORDER.index(line.status))):
        alone = every or any(fnmatchcase(line.layer, pattern) for pattern in patterns)
        title = f"{line.status}: {line.why}" if line.why else line.status
        groups.setdefault(title, {}).setdefault(number if alone else (line.op, line.kind), []).append(line)
    rows = {title: [_row(own) for own in section.values()] for title, section in groups.items()}
    flat = [row for section in rows.values() for row in section]
    widths = [max(len(row[place]) for row in flat) for place in range(3)] if flat else []
    return [(title, [_padded(row, widths) for row in section]) for title, section in rows.items()]


def fixes(drawn: Sequence[Line]) -> list[str]:
    """The ways out for what is unsupported, each once."""
    return list(dict.fromkeys(line.fix for line in drawn if line.fix and line.status == ORDER[0]))


def described(drawn: Sequence[Line]) -> list[dict[str, Any]]:
    """The calls as plain data."""
    keys = {"kind": "class", "place": "source"}
    return [{keys.get(name, name): value for name, value in vars(line).items()} for line in drawn]


def _row(own: Sequence[Line]) -> tuple[str, str, str, str]:
    first = own[0]
    place = ", ".join(part for part in (first.layer, first.place) if part)
    return first.op, first.kind, f"{len(own):,}", f"from {place}" if len(own) > 1 else place


def _padded(row: tuple[str, str, str, str], widths: Sequence[int]) -> tuple[str, str, str, str]:
    op, kind, number, place = row
    return f"  {op.ljust(widths[0])}", kind.ljust(widths[1]), number.rjust(widths[2]), place
