"""recipes: the shipped recipes, and the text of one."""

from __future__ import annotations

import click

from ...compiler.errors import UserError
from ...recipes import described, shipped
from ..render import Screen


@click.command()
@click.argument("name", required=False)
@click.pass_obj
def recipes(screen: Screen, name: str | None) -> None:
    """List the shipped recipes; with NAME, print one as TOML, to be changed and given to `lowbit compile`.

    \b
    Examples:
      lowbit recipes
      lowbit recipes choi2020 > mine.toml
    """
    if name is None:
        told = {key: described(key) for key in shipped()}
        screen.table(("recipe", "what it does", "paper"), [(key, own.summary, own.paper) for key, own in told.items()])
        return
    if name not in shipped():
        raise UserError(f"no recipe is called '{name}'", fix=f"one of: {', '.join(shipped())}")
    screen.text(described(name).text.rstrip())
