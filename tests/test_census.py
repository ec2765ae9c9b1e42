"""On the drawn networks every rule fires and every guard refuses: what the laws never see, they do not hold."""

from __future__ import annotations

import pytest
from lowbit.api import passes
from lowbit.testing import CENSUS

every_pass = pytest.mark.parametrize("name", sorted(passes()))


@every_pass
def test_every_rule_fires(name: str) -> None:
    CENSUS["every_rule_fires"](name)


@every_pass
def test_every_guard_refuses(name: str) -> None:
    CENSUS["every_guard_refuses"](name)


@every_pass
def test_costs_are_needed(name: str) -> None:
    CENSUS["costs_are_needed"](name)
