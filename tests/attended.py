"""The last pass of a trial as `explain` watches it, beside the run that nobody watched."""

from __future__ import annotations

from functools import cache

from lowbit.compiler.inspection.attempts import Ran, watched_run
from lowbit.compiler.pipeline import Entry
from lowbit.compiler.sketches.trial import STEPS
from lowbit.compiler.text import text
from lowbit.testing import graph, result, split


@cache
def watched(line: str) -> tuple[Ran, Entry]:
    """The last pass of a trial, watched, and its entry in the ledger of a run that nobody watched."""
    entry = result(line).ledger[0]
    ran: list[Ran] = []
    assert text(watched_run("prepare", graph(split(line)[0]), [entry.use], STEPS, ran).graph) == text(graph(line))
    return ran[0], entry
