"""Writes docs/passes.md and docs/recipes.md from what the files say of themselves: `make docs`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from lowbit.compiler.contract import Pass
from lowbit.compiler.registry import explanation, members
from lowbit.compiler.settings import explained, settings
from lowbit.recipes import described, shipped

HERE = Path(__file__).parent
PAGE, RECIPES = HERE / "passes.md", HERE / "recipes.md"
RESULTS = HERE.parent / "benchmarks" / "RESULTS.md"
PACKAGE = "lowbit.passes"
TABLE = ("| option | type | bounds | default |", "| --- | --- | --- | --- |")
HEAD = """# The passes

Written by `make docs` from the files in `passes/`; change those. `lowbit passes NAME` tells the same, and of passes of
other packages too. A trial, such as `conv(3) bn | eval | fold_batch_norm`, is a network in a line and the passes that
it goes through.
"""
RECIPES_HEAD = """# The recipes

Written by `make docs` from the files in `recipes/` and the tables in `benchmarks/RESULTS.md`; change those.
`lowbit recipes NAME` prints a recipe, to be changed; `lowbit passes NAME` tells the options of a pass, which
`lowbit compile --set PASS.OPTION=VALUE` sets anew.
"""


def recipes_page() -> str:
    """The whole page of recipes: a list, then a section for each."""
    names = shipped()
    lines = [f"* [`{name}`](#{name}): {described(name).summary}" for name in names]
    sections = ["\n".join(recipe_section(name)) for name in names]
    return "\n".join([RECIPES_HEAD, *lines, "", "\n\n".join(sections), ""])


def recipe_section(name: str) -> Iterator[str]:
    """What a recipe is, where it comes from, its passes and options, and what was measured of it."""
    own = described(name)
    number = re.search(r"arXiv (\S+)$", own.paper)
    link = f"[{own.paper}](https://arxiv.org/abs/{number[1]})" if number else own.paper
    yield from (f"## {name}", "", f"{own.summary}. Paper: {link}.", "")
    if own.notes:
        yield from (own.notes, "")
    body = "\n".join(line for line in own.text.splitlines() if not line.startswith("#"))
    yield from ("```toml", body.strip(), "```", "")
    yield from (measured(name) or ["Not measured under this name yet."])


def measured(name: str) -> list[str]:
    """The rows of the results that begin with the recipe's name, each table with its head and title."""
    found: list[str] = []
    title, head = "", []
    for line in RESULTS.read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            title = line[3:]
        if not line.startswith("|"):
            head = []
        elif len(head) < 2:
            head = [*head, line]
        elif line.startswith(f"| `{name}` |"):
            known = f"Measured, {title} (benchmarks/RESULTS.md):"
            found += [line] if known in found else [*([""] if found else []), known, "", *head, line]
    return found


def page() -> str:
    """The whole page: a list of the shipped passes, then a section for each."""
    passes = members(PACKAGE, Pass)
    lines = [f"* [`{name}`](#{name}): {explanation(PACKAGE, name).partition(chr(10))[0]}" for name in passes]
    sections = ["\n".join(section(name, found)) for name, found in passes.items()]
    return "\n".join([HEAD, *lines, "", "\n\n".join(sections), ""])


def section(name: str, found: Pass) -> Iterator[str]:
    """What there is to know of one pass."""
    yield from (f"## {name}", "", explanation(PACKAGE, name).strip(), "")
    if options := settings(found.options):
        yield from (
            explained(found.options).strip(),
            "",
            *TABLE,
        )
        yield from (f"| `{one.name}` | {one.type} | {one.bounds} | `{one.default}` |" for one in options)
        yield ""
    yield f"* Law: `{found.law!r}`."
    if found.costs:
        yield f"* Costs bytes of weights: {found.costs}."
    yield from (f"* Needs: {fact.name}." for fact in found.needs)
    yield from (f"* Leaves: {fact.name}." for fact in found.leaves)
    yield from (f"* Fires on `{trial}`." for trial in found.fires)
    yield from (f"* Refuses `{trial}`: {reason}." for trial, reason in found.refuses.items())


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    RECIPES.write_text(recipes_page(), encoding="utf-8")
