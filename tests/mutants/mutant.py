"""Mutant: one bug put in on purpose, and the test that must notice it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutant:
    """name: what the bug is.   file: relative to the repository.   old: text found exactly once, replaced by new.

    test: the pytest file or node that must fail; with a `::` it names one law, parameters and all.
    """

    name: str
    file: str
    old: str
    new: str
    test: str
