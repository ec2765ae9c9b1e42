"""Writes docs/passes.md, what the files of the passes say of them: `make docs`, or python docs/generate.py."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from lowbit.compiler.contract import Pass
from lowbit.compiler.registry import explanation, members
from lowbit.compiler.settings import explained, settings

PAGE = Path(__file__).parent / "passes.md"
PACKAGE = "lowbit.passes"
TABLE = ("| option | type | bounds | default |", "| --- | --- | --- | --- |")
HEAD = """# The passes

Written by `make docs` from the files in `passes/`; change those. `lowbit passes NAME` tells the same, and of passes of
other packages too. A trial, such as `conv(3) bn | eval | fold_batch_norm`, is a network in a line and the passes that
it goes through.
"""


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
