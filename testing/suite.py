"""The laws of passes by name, and all of them as one test."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import pytest

from ..compiler.errors import Broken
from . import evidence, laws, options
from .trials import trials

NETWORKS = 20
"""How many networks are drawn for a pass of somebody else's."""


class Law(Protocol):
    """Asserts something of the pass of that name, on that many drawn networks (by default as hypothesis is set)."""

    def __call__(self, name: str, networks: int | None = None) -> None: ...


def _on_trials(law: Callable[[str], None]) -> Law:
    def hold(name: str, networks: int | None = None) -> None:
        for line in trials(name, networks):
            try:
                law(line)
            except (AssertionError, Broken) as broken:
                raise AssertionError(f"{name} broke '{law.__name__}' on: {line}") from broken

    return hold


TRIALS: dict[str, Law] = {law.__name__: _on_trials(law) for law in laws.LAWS}
"""What holds on every trial that shows the pass, and on every drawn network."""
EVIDENCE: dict[str, Law] = {law.__name__: law for law in (evidence.fires, evidence.refuses)}
"""What the file of the pass says of it."""
CENSUS: dict[str, Law] = {
    law.__name__: law for law in (evidence.every_rule_fires, evidence.every_guard_refuses, evidence.costs_are_needed)
}
"""That the networks reach all of the pass."""
OPTIONS: dict[str, Law] = {
    law.__name__: law
    for law in (
        options.both_ends_are_legal,
        options.one_past_an_end_names_its_place,
        options.an_unknown_option_names_itself,
        options.a_recipe_comes_back,
    )
}
LAWS: dict[str, Law] = {**TRIALS, **EVIDENCE, **CENSUS, **OPTIONS}


def pass_laws(name: str, networks: int = NETWORKS) -> Callable[[str], None]:
    """A test of one pass, with an item for each law: `test_my_pass = pass_laws("mypkg.passes:my_pass")`.

    name: as a recipe names the pass.   networks: how many are drawn, beside those of its evidence.
    """

    @pytest.mark.parametrize("law", LAWS)
    def test(law: str) -> None:
        LAWS[law](name, networks)

    marked: Any = test
    return marked  # type: ignore[no-any-return]
