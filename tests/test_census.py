"""On the drawn networks every rule fires and every guard refuses: what the laws never see, they do not hold."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from lowbit.api import passes
from lowbit.compiler.pipeline import run
from lowbit.compiler.rule import Guard, Match, Rule
from lowbit.compiler.trial import STEPS
from nets import graph, result
from pass_laws import split, trials

every_pass = pytest.mark.parametrize("name", sorted(passes()))


@every_pass
def test_every_rule_fires(name: str) -> None:
    events = [event for line in trials(passes()[name]) for event in result(line).ledger[0].events]
    fired = {event.rule for event in events if event.fired}
    assert {f"{name}/{rule.name}" for rule in passes()[name].rules} == fired


@every_pass
def test_every_guard_refuses(name: str) -> None:
    """Guards that rules share are counted together."""
    refused: Counter[Guard] = Counter()
    for line in trials(passes()[name]):
        use = result(line).ledger[0].use
        rules = tuple(_counted(rule, refused) for rule in use.pass_.rules)
        run(graph(split(line)[0]), [replace(use, pass_=replace(use.pass_, rules=rules))], STEPS)
    never = [
        f"{rule.name}, guard {i}" for rule in passes()[name].rules for i, g in enumerate(rule.guards) if not refused[g]
    ]
    assert not never


def _counted(rule: Rule, refused: Counter[Guard]) -> Rule:
    return replace(rule, guards=tuple(_counting(guard, refused) for guard in rule.guards))


def _counting(guard: Guard, refused: Counter[Guard]) -> Guard:
    def counting(match: Match) -> str:
        reason = guard(match)
        refused[guard] += bool(reason)
        return reason

    return counting
