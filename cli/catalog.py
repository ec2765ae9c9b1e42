"""The members of a folder as a user meets them: a list, the text of one, the right names for a wrong one."""

from __future__ import annotations

from ..compiler.errors import UserError
from ..compiler.registry import explanation, names

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
