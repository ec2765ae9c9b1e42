"""passes: the graph passes, and what there is to know of one."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

import click

from ..catalog import PASSES, listed, told
from ..render import Screen

if TYPE_CHECKING:
    import msgspec

    from ...compiler.contract import Options, Pass


@click.command()
@click.argument("name", required=False)
@click.pass_obj
def passes(screen: Screen, name: str | None) -> None:
    """List the graph passes that a recipe may use; with NAME, tell all about one.

    \b
    Examples:
      lowbit passes
      lowbit passes insert_fake_quant
    """
    if name is None:
        screen.table(("pass", "what it does"), listed(PASSES))
        return
    screen.text(told(PASSES, name, "pass") + "\n")
    from ... import api

    found = api.passes()[name]
    if options := _options(found.options):
        screen.text(_explained(found.options) + "\n")
        screen.table(("option", "type", "default", "bounds"), options)
        screen.text("")
    screen.table(("", ""), _facts(found))


def _facts(found: Pass) -> list[tuple[str, str]]:
    """What the pass needs, leaves and preserves, and the evidence in its file."""
    return [
        ("law", repr(found.law)),
        *(("needs", fact.name) for fact in found.needs),
        *(("leaves", fact.name) for fact in found.leaves),
        *(("fires on", trial) for trial in found.fires),
        *(("refuses", f"{trial}: {reason}") for trial, reason in found.refuses.items()),
    ]


def _explained(options: type[Options]) -> str:
    """What the options mean: the docstrings of their class and of those that it extends, but for the common base."""
    from ...compiler.contract import Options

    own = options.__mro__[: -len(Options.__mro__)]
    return "\n".join(inspect.getdoc(kind) or "" for kind in own)


def _options(options: type[Options]) -> list[tuple[str, str, str, str]]:
    import msgspec

    fields = msgspec.structs.fields(options)
    types = msgspec.inspect.type_info(options).fields  # type: ignore[attr-defined]
    return [(f.name, _type(t.type), str(f.default), _bounds(t.type)) for f, t in zip(fields, types, strict=True)]


def _type(found: msgspec.inspect.Type) -> str:
    import msgspec

    if isinstance(found, msgspec.inspect.LiteralType):
        return " or ".join(map(repr, found.values))
    return type(found).__name__.removesuffix("Type").lower()


def _bounds(found: msgspec.inspect.Type) -> str:
    signs = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}
    limits = {sign: getattr(found, name, None) for name, sign in signs.items()}
    return ", ".join(f"{sign} {limit}" for sign, limit in limits.items() if limit is not None)
