"""Coverage as a table: a summary, equal calls of one class in one row, and single calls where they are asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from ..backends.lowering.coverage import Covered
from ..compiler.errors import UserError
from ..compiler.graph import origin
from ..compiler.text import target_name
from .views import View

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


def table(drawn: Sequence[Line], patterns: Sequence[str] = (), every: bool = False) -> View:
    """Unsupported calls first. patterns: of module paths whose calls have a row each.   every: all have.

    Raises UserError for a pattern that fits no module.
    """
    for pattern in patterns:
        if not any(fnmatchcase(line.layer, pattern) for line in drawn):
            raise UserError(f"no call stands in a module like '{pattern}'", fix="`lowbit show` lists the modules")
    groups: dict[tuple[object, ...], list[Line]] = {}
    for number, line in enumerate(drawn):
        alone = every or any(fnmatchcase(line.layer, pattern) for pattern in patterns)
        key = (number,) if alone else (line.status, line.op, line.kind, line.why)
        groups.setdefault(key, []).append(line)
    ordered = list(groups.values()) if every else sorted(groups.values(), key=lambda own: ORDER.index(own[0].status))
    return ("", "op", "class", "calls", "where", "why"), [_row(own) for own in ordered]


def fixes(drawn: Sequence[Line]) -> list[str]:
    """The ways out for what is unsupported, each once."""
    return list(dict.fromkeys(line.fix for line in drawn if line.fix and line.status == ORDER[0]))


def described(drawn: Sequence[Line]) -> list[dict[str, Any]]:
    """The calls as plain data."""
    keys = {"kind": "class", "place": "source"}
    return [{keys.get(name, name): value for name, value in vars(line).items()} for line in drawn]


def _row(own: Sequence[Line]) -> tuple[object, ...]:
    first = own[0]
    where = ", ".join(part for part in (first.layer, first.place) if part)
    more = f" and {len(own) - 1} more" if len(own) > 1 else ""
    return first.status, first.op, first.kind, len(own), where + more, first.why
