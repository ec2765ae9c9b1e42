"""Every pass, held to every law on drawn networks, and to its own evidence."""

from __future__ import annotations

import pytest
from lowbit.api import passes
from lowbit.testing import EVIDENCE, TRIALS

every_pass = pytest.mark.parametrize("name", sorted(passes()))


@every_pass
@pytest.mark.parametrize("law", TRIALS)
def test_law(name: str, law: str) -> None:
    TRIALS[law](name)


@every_pass
def test_fires(name: str) -> None:
    EVIDENCE["fires"](name)


@every_pass
def test_refuses(name: str) -> None:
    EVIDENCE["refuses"](name)
