"""Every pass, held to every law on drawn networks, and to its own evidence."""

from __future__ import annotations

import itertools
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lowbit.api import passes
from lowbit.compiler.contract import Options
from lowbit.compiler.errors import UserError
from lowbit.compiler.recipe import Recipe, dump, parse, use
from nets import result, sketches
from pass_laws import LAWS, settings_of, split

every_pass = pytest.mark.parametrize("name", sorted(passes()))


@every_pass
@pytest.mark.parametrize("law", LAWS)
@given(sketch=sketches(), choice=st.integers(0, 11))
def test_law(name: str, law: str, sketch: str, choice: int) -> None:
    shown = settings_of(passes()[name])
    before, stage = shown[choice % len(shown)]
    LAWS[law](f"{sketch}{before}| {stage}")


@every_pass
def test_fires(name: str) -> None:
    assert passes()[name].fires, "a pass must show a network on which it fires"
    for line in passes()[name].fires:
        assert split(line)[2] == name
        assert result(line).ledger[0].fired, line


@every_pass
def test_refuses(name: str) -> None:
    assert passes()[name].refuses, "a pass must show a network on which it refuses, and why"
    for line, reason in passes()[name].refuses.items():
        assert split(line)[2] == name
        assert reason in {event.reason for event in result(line).ledger[0].events}, line
