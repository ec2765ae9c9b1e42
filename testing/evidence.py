"""The evidence of a pass, and the census: on evidence and drawn networks every rule fires and every guard refuses.

What the laws never see, they do not hold.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from ..compiler.pipeline import run
from ..compiler.rule import Guard, Match, Rule
from ..compiler.sketches.trial import STEPS
from . import trials
from .costs import weight_bytes
from .trials import found, graph, result, split


def fires(name: str, networks: int | None = None) -> None:
    """On every trial of `fires` a rule fires."""
    assert found(name).fires, "a pass must show a network on which it fires"
    for line in trials.fires(name):
        assert split(line)[2] == name, line
        assert result(line).ledger[0].fired, line


def refuses(name: str, networks: int | None = None) -> None:
    """On every trial of `refuses` a rule refuses, for that very reason."""
    assert found(name).refuses, "a pass must show a network on which it refuses, and why"
    for line, reason in trials.refuses(name).items():
        assert split(line)[2] == name, line
        assert reason in {event.reason for event in result(line).ledger[0].events}, line


def every_rule_fires(name: str, networks: int | None = None) -> None:
    """Somewhere on the trials."""
    events = [event for line in trials.trials(name, networks) for event in result(line).ledger[0].events]
    fired = {event.rule for event in events if event.fired}
    assert {f"{name}/{rule.name}" for rule in found(name).rules} == fired


def every_guard_refuses(name: str, networks: int | None = None) -> None:
    """Somewhere on the trials, those of the evidence included; guards that rules share are counted together."""
    refused: Counter[Guard] = Counter()
    wanted = {guard for rule in found(name).rules for guard in rule.guards}
    for line in (*trials.refuses(name), *trials.trials(name, networks)):
        if wanted <= refused.keys():
            break
        use = result(line).ledger[0].use
        rules = tuple(_counted(rule, refused) for rule in use.pass_.rules)
        run(graph(split(line)[0]), [replace(use, pass_=replace(use.pass_, rules=rules))], STEPS)
    rules = found(name).rules
    never = [f"{rule.name}, guard {i}" for rule in rules for i, guard in enumerate(rule.guards) if not refused[guard]]
    assert not never


def costs_are_needed(name: str, networks: int | None = None) -> None:
    """A pass that says why the bytes of weights grow makes them grow somewhere on the trials."""
    grown = (line for line in trials.trials(name, networks) if _bytes(line) > _bytes(split(line)[0]))
    assert not found(name).costs or next(grown, None) is not None


def _bytes(line: str) -> int:
    return weight_bytes(graph(line))


def _counted(rule: Rule, refused: Counter[Guard]) -> Rule:
    return replace(rule, guards=tuple(_counting(guard, refused) for guard in rule.guards))


def _counting(guard: Guard, refused: Counter[Guard]) -> Guard:
    def counting(match: Match) -> str:
        reason = guard(match)
        refused.update([guard] * bool(reason))
        return reason

    return counting
