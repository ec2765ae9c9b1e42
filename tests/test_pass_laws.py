"""Every pass, held to every law on drawn networks, and to its own evidence."""

from __future__ import annotations

import pytest
from lowbit.api import passes
from nets import result
from pass_laws import LAWS, split, trials

every_pass = pytest.mark.parametrize("name", sorted(passes()))


@every_pass
@pytest.mark.parametrize("law", LAWS)
def test_law(name: str, law: str) -> None:
    for line in trials(passes()[name]):
        try:
            LAWS[law](line)
        except AssertionError as broken:
            raise AssertionError(f"{name} broke '{law}' on: {line}") from broken


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
