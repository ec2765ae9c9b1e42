"""The members of a folder as a user meets them: a list, the text of one, the right names for a wrong one."""

from __future__ import annotations

from ..compiler.errors import Broken, UserError
from ..compiler.plugins import load, place, points
from ..compiler.registry import docstring, explanation, names

ROOT = __name__.partition(".")[0]
PASSES, OPS, TARGETS = f"{ROOT}.passes", f"{ROOT}.backends.fixed.ops", f"{ROOT}.backends.targets"


def listed(package: str) -> list[tuple[str, str]]:
    """Name and first line of each member; none is imported."""
    return [(name, explanation(package, name).partition("\n")[0]) for name in names(package)]


def told(package: str, name: str, kind: str) -> str:
    """The whole docstring of a member. Raises UserError when there is none of that name."""
    if name not in names(package):
        raise UserError(f"no {kind} is called '{name}'", fix=f"one of: {', '.join(names(package))}")
    return explanation(package, name)


def installed_passes() -> list[tuple[str, str]]:
    """Name and first line of each pass of another package that has an entry point; none is imported."""
    found = points(tuple(names(PASSES)))
    return [(name, f"{_of(point.module)} ({place(point)})") for name, point in sorted(found.items())]


def pass_told(name: str) -> str:
    """The whole docstring of a pass: shipped, of an entry point, or `module:attribute`. Raises UserError."""
    found = points(tuple(names(PASSES)))
    if name not in found and ":" not in name:
        return told(PASSES, name, "pass")
    path = found[name].value if name in found else name
    load(path, place(found[name]) if name in found else "NAME")
    return docstring(path.partition(":")[0])


def _of(module: str) -> str:
    try:
        return docstring(module).partition("\n")[0]
    except (ImportError, Broken, OSError, SyntaxError) as error:  # a broken package leaves the others their lines
        return f"cannot be read: {error}"
