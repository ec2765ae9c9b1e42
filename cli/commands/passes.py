"""passes: the graph passes, and what there is to know of one."""

from __future__ import annotations

from dataclasses import astuple
from typing import TYPE_CHECKING

import click

from ..catalog import PASSES, installed_passes, listed, pass_told
from ..render import Screen

if TYPE_CHECKING:
    from ...compiler.contract import Pass


@click.command()
@click.argument("name", required=False)
@click.pass_obj
def passes(screen: Screen, name: str | None) -> None:
    """List the graph passes that a recipe may use; with NAME, tell all about one.

    NAME may be module:attribute, for a pass of your own package; that imports it. Passes with an entry point of the
    group lowbit.passes are in the list.

    \b
    Examples:
      lowbit passes
      lowbit passes insert_fake_quant
      lowbit passes mypkg.passes:my_pass
    """
    if name is None:
        screen.table(("pass", "what it does"), listed(PASSES) + installed_passes())
        return
    screen.text(pass_told(name) + "\n")
    from ... import api
    from ...compiler.plugins import chosen
    from ...compiler.settings import explained, settings

    found = chosen(name, api.passes(), "NAME")
    if options := [astuple(setting) for setting in settings(found.options)]:
        screen.text(explained(found.options) + "\n")
        screen.table(("option", "type", "default", "bounds"), options)
        screen.text("")
    screen.table(("", ""), _facts(found))


def _facts(found: Pass) -> list[tuple[str, str]]:
    """What the pass needs, leaves and preserves, and the evidence in its file."""
    return [
        ("law", repr(found.law)),
        *([("costs bytes of weights", found.costs)] if found.costs else []),
        *(("needs", fact.name) for fact in found.needs),
        *(("leaves", fact.name) for fact in found.leaves),
        *(("fires on", trial) for trial in found.fires),
        *(("refuses", f"{trial}: {reason}") for trial, reason in found.refuses.items()),
    ]
