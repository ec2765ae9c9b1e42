"""Passes of other packages: by an entry point of the group `lowbit.passes`, or by `module:attribute`.

    [project.entry-points."lowbit.passes"]
    my_pass = "mypkg.passes:my_pass"

Such a pass is in every list under its short name. A recipe may name any other, `use = "mypkg.passes:my_pass"`; to read
that recipe imports the module.
"""

from __future__ import annotations

import functools
import importlib
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from types import MappingProxyType, ModuleType
from typing import TYPE_CHECKING, Any

from .errors import LowbitError, UserError

if TYPE_CHECKING:
    from .contract import Pass

GROUP = "lowbit.passes"
FORM = 'write use = "module:attribute", such as "mypkg.passes:my_pass"'


@dataclass(frozen=True)
class Installed(Mapping[str, "Pass"]):
    """The shipped passes and those of entry points, by name; one of the latter is imported when it is asked for."""

    shipped: Mapping[str, Pass]
    points: Mapping[str, EntryPoint]

    def __getitem__(self, name: str) -> Pass:
        return self.shipped[name] if name in self.shipped else load(self.points[name].value, place(self.points[name]))

    def __contains__(self, name: object) -> bool:
        return name in self.shipped or name in self.points

    def __iter__(self) -> Iterator[str]:
        return iter(sorted([*self.shipped, *self.points]))

    def __len__(self) -> int:
        return len(self.shipped) + len(self.points)


def installed(shipped: Mapping[str, Pass]) -> Installed:
    """The shipped passes with those of entry points. Raises UserError where two have one name."""
    return Installed(shipped, points(tuple(shipped)))


@functools.cache
def points(shipped: tuple[str, ...]) -> Mapping[str, EntryPoint]:
    """Name -> entry point of every installed package that has passes; nothing is imported.

    shipped: names that are taken. Raises UserError where one of them, or one of another package, is taken again.
    """
    found: dict[str, EntryPoint] = {}
    for point in entry_points(group=GROUP):
        if point.name in shipped or point.name in found:
            first = place(found[point.name]) if point.name in found else "lowbit itself"
            raise UserError(
                f"two passes are called '{point.name}'",
                where=place(point),
                why=f"that name is taken by {first}",
                fix="give the entry point another name, or uninstall its package",
            )
        found[point.name] = point
    return MappingProxyType(found)


def place(point: EntryPoint) -> str:
    """An entry point and its package, as an error names them."""
    package = point.dist.name if point.dist is not None else "an unknown package"
    return f"entry point {point.name} = {point.value} of {package}"


def chosen(name: Any, passes: Mapping[str, Pass], where: str) -> Pass:
    """The pass of that name, or behind that `module:attribute`. Raises UserError, at `where`, when there is none."""
    if isinstance(name, str) and ":" in name:
        return load(name, where)
    if not isinstance(name, str) or name not in passes:
        fix = f"one of: {', '.join(passes)}; or module:attribute"
        raise UserError(f"no pass is called {name!r}", where=where, fix=fix)
    return passes[name]


def load(path: str, where: str) -> Pass:
    """The pass that `module:attribute` names; the module is imported. Raises UserError, at `where`, if it is none."""
    from .contract import Pass  # takes torch, which the lists of names do without

    module_name, _, attribute = path.partition(":")
    if not attribute.isidentifier() or not all(part.isidentifier() for part in module_name.split(".")):
        raise UserError(f"'{path}' is not the place of a pass", where=where, fix=FORM)
    module = _imported(module_name, where)
    if not hasattr(module, attribute):
        known = ", ".join(name for name, value in vars(module).items() if isinstance(value, Pass)) or "none at all"
        raise UserError(f"'{module_name}' has no '{attribute}'", where=where, fix=f"its passes are: {known}")
    found = getattr(module, attribute)
    if not isinstance(found, Pass):
        kind = type(found).__name__
        raise UserError(f"'{path}' is a {kind}, not a Pass", where=where, fix="name a lowbit.compiler.contract.Pass")
    return found


def _imported(name: str, where: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except LowbitError:
        raise
    except (Exception, SystemExit) as error:
        own = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith("<frozen")]
        line = f" ({own[-1].filename}:{own[-1].lineno})" if len(own) > 2 else ""
        fix = "install the package, or put its folder on PYTHONPATH" if isinstance(error, ImportError) else ""
        why = f"{type(error).__name__}: {error}{line}"
        raise UserError(f"the module '{name}' cannot be imported", where=where, why=why, fix=fix) from error
