"""Folding: an outline as rows, closed below a depth, equal neighbours in one row, and opened where a pattern asks."""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from ..compiler.errors import UserError
from ..compiler.inspection.outline import Item, Part

SCREEN = 40
"""Rows that an outline takes at most where no depth is asked for."""
OWN = "(own)"
"""Name of the row for what a module calls and holds itself, beside the modules in it."""
NAMED = 12
"""Modules that an error names at most."""
_NUMBERED = re.compile(r"(.*?)(\d+)")
_STEP = re.compile(r"^|\.")
"""Where the path of a module that stands above ends; the first is the whole model, whose path is empty."""


@dataclass(frozen=True)
class Row:
    """One or several equal modules, or what those call themselves.

    parts: the modules that the row stands for.   level: how deep it stands.   is_own: only their own items and
    parameters.   items: to be drawn below it, one row each.
    """

    name: str
    parts: tuple[Part, ...]
    level: int
    is_own: bool = False
    rows: tuple[Row, ...] = ()
    items: tuple[Item, ...] = field(default=(), repr=False)

    def label(self, above: Row) -> str:
        """Its name, and how many modules it stands for in each that the row above stands for."""
        times = len(self.parts) // len(above.parts)
        return f"{self.name}  \N{MULTIPLICATION SIGN}{times}" if times > 1 else self.name

    @property
    def calls(self) -> int:
        return sum(sum(not i.is_input for i in p.items) if self.is_own else p.calls for p in self.parts)

    @property
    def macs(self) -> int:
        return sum(sum(item.macs for item in part.items) if self.is_own else part.macs for part in self.parts)

    @property
    def parameters(self) -> int:
        return sum(part.own if self.is_own else part.parameters for part in self.parts)

    @property
    def is_tied(self) -> bool:
        """Whether it has no parameters but such that stand elsewhere."""
        inside = (part for own in self.parts for part in ((own,) if self.is_own else own.walk()))
        return not self.parameters and any(part.tied for part in inside)

    def walk(self) -> Iterator[Row]:
        """The rows below it in the order of a table."""
        for row in self.rows:
            yield row
            yield from row.walk()


def folded(root: Part, depth: int | None = None, patterns: Sequence[str] = ()) -> Row:
    """The rows of an outline. depth: levels of modules to show; None: as many as make about a screen.

    patterns: of paths of modules whose calls are shown, one row each. Raises UserError for one that fits no module.
    """
    forms = _forms(root)
    if depth is None:
        levels = Counter(row.level for row in _Folding(forms, sys.maxsize).row(root.name, (root,), 0).walk())
        depth = next((d for d in range(1, len(levels)) if sum(levels[i] for i in range(d + 2)) > SCREEN), len(levels))
    opened = _opened([part.path for part in root.walk() if forms[part]], patterns)
    above = {path[: match.start()] for path in opened for match in _STEP.finditer(path)}
    return _Folding(forms, depth, opened, frozenset(above)).row(root.name, (root,), 0)


def _opened(paths: Sequence[str], patterns: Sequence[str]) -> frozenset[str]:
    """The outermost of the paths that a pattern fits."""
    found: set[str] = set()
    for pattern in patterns:
        fitting = {path for path in paths if path and fnmatchcase(path, pattern)}
        if not fitting:
            known = [path for path in paths if path]
            more = f" and {len(known) - NAMED} more" if len(known) > NAMED else ""
            fix = f"use one of: {', '.join(known[:NAMED])}{more}" if known else "leave it out: there is no module"
            raise UserError(f"no module has a path like '{pattern}'", fix=fix)
        found |= fitting
    return frozenset(path for path in found if not any(path[: m.start()] in found for m in _STEP.finditer(path)))


def _forms(root: Part) -> Mapping[Part, int]:
    """A number for each part, equal for parts that look and cost the same; 0 for one with nothing in it."""
    numbers: dict[object, int] = {}
    forms: dict[Part, int] = {}
    for part in reversed(list(root.walk())):
        inner = tuple((name, forms[child]) for name, child in part.parts.items() if forms[child])
        items = tuple((item.op, item.type, item.macs) for item in part.items)
        form = (part.kind, part.type, part.own, len(part.tied), items, inner)
        forms[part] = numbers.setdefault(form, len(numbers) + 1) if any((part.own, part.tied, items, inner)) else 0
    return forms


@dataclass(frozen=True)
class _Folding:
    """How an outline is folded.   forms: of the parts.   opened: paths whose calls are shown.   above: their owners."""

    forms: Mapping[Part, int]
    depth: int
    opened: frozenset[str] = frozenset()
    above: frozenset[str] = frozenset()

    def row(self, name: str, parts: tuple[Part, ...], level: int) -> Row:
        first = parts[0]
        is_leaf = not any(self.forms[part] for part in first.parts.values())
        if first.path in self.opened or (is_leaf and not level):  # a model without modules has nothing else to show
            items = (item for part in first.walk() for item in part.items if not item.is_input)
            return Row(name, parts, level, items=tuple(sorted(items, key=lambda item: item.index)))
        if is_leaf:
            return Row(name, parts, level)
        is_open = level < self.depth or first.path in self.above
        return Row(name, parts, level, rows=self._below(parts, level + 1) if is_open else ())

    def _below(self, parts: tuple[Part, ...], level: int) -> tuple[Row, ...]:
        first = parts[0]
        own = first.own or first.tied or any(not item.is_input for item in first.items)
        rows = [Row(OWN, parts, level, is_own=True)] if own else []
        for label, names in self._runs(first):
            rows.append(self.row(label, tuple(part.parts[name] for part in parts for name in names), level))
        return tuple(rows)

    def _runs(self, part: Part) -> list[tuple[str, list[str]]]:
        """The modules in it, neighbours that are equal but for a number that counts up together; and their label."""
        runs: list[list[str]] = []
        for name, child in part.parts.items():
            if not self.forms[child]:
                continue
            if runs and self._continues(part.parts[runs[-1][-1]], child):
                runs[-1].append(name)
            else:
                runs.append([name])
        return [(names[0] if len(names) == 1 else _label(names), names) for names in runs]

    def _continues(self, last: Part, child: Part) -> bool:
        before, after = _NUMBERED.fullmatch(last.name), _NUMBERED.fullmatch(child.name)
        if before is None or after is None or {last.path, child.path} & (self.opened | self.above):
            return False
        counts = before[1] == after[1] and int(after[2]) == int(before[2]) + 1
        return counts and self.forms[last] == self.forms[child]


def _label(names: Sequence[str]) -> str:
    last = _NUMBERED.fullmatch(names[-1])
    return f"{names[0]}..{last[2] if last else names[-1]}"
