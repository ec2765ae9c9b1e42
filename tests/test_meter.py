"""Progress of passes: told to whoever listens, and shown on a terminal alone."""

from __future__ import annotations

import io
import sys

import pytest
from lowbit.api import passes
from lowbit.cli.render import Screen
from lowbit.compiler.meter import counted, listening, tell
from lowbit.compiler.pipeline import run
from lowbit.compiler.recipe import parse
from lowbit.compiler.sketches.sketch import build

Told = tuple[str, int, int]


class Terminal(io.StringIO):
    """A stderr that is a terminal."""

    def isatty(self) -> bool:
        return True


def test_who_listens_is_told_and_nobody_else() -> None:
    outer, inner = list[Told](), list[Told]()
    tell("before")
    with listening(lambda *told: outer.append(told)):
        tell("outer", 1, 2)
        with listening(lambda *told: inner.append(told)):
            assert list(counted("inner", "abc")) == ["a", "b", "c"]
        tell("outer", 2, 2)
    tell("behind")
    assert outer == [("outer", 1, 2), ("outer", 2, 2)]
    assert inner == [("inner", i, 3) for i in range(3)]


def test_every_node_of_a_sweep_is_told() -> None:
    """Two sweeps, since the first one changes something."""
    graph, told = build("conv(2) dropout relu"), list[Told]()
    recipe = parse('post_training = true\n[[prepare]]\nuse = "normalize"\n', passes())
    with listening(lambda *one: told.append(one)):
        result = run(recipe.first(graph), recipe.prepare)
    assert result.ledger[0].fired
    before, after = len(recipe.first(graph).nodes), len(result.graph.nodes)
    sweeps = [[("normalize", i, count) for i in range(count)] for count in (before, after)]
    assert told == [("normalize, planning", 0, 0), *sweeps[0], *sweeps[1]]


def test_a_bar_on_a_terminal_says_which_pass_and_how_far(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Terminal())
    with Screen().work() as work:
        tell("equalize", 3, 10)
        (task,) = work.tasks
        assert (task.description, task.completed, task.total) == ("equalize", 3, 10)
    tell("normalize", 1, 2)
    assert work.tasks[0].description == "equalize"


def test_elsewhere_passes_say_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lowbit.cli.render.PATIENCE", 0.0)
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with Screen().work() as work:
        tell("equalize", 3, 10)
        assert sys.stderr.getvalue() == ""
        work("lowering")
    assert sys.stderr.getvalue() == "lowering\n"
