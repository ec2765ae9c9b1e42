"""recipes: the shipped recipes, and the text of one."""

from __future__ import annotations

import tomllib

import click

from ...compiler.errors import UserError
from ...recipes import shipped
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
    files = shipped()
    if name is None:
        summaries = {key: tomllib.loads(path.read_text(encoding="utf-8"))["summary"] for key, path in files.items()}
        screen.table(("recipe", "what it does"), list(summaries.items()))
        return
    if name not in files:
        raise UserError(f"no recipe is called '{name}'", fix=f"one of: {', '.join(files)}")
    screen.text(files[name].read_text(encoding="utf-8").rstrip())
