"""diff on the command line: exit codes like those of diff(1), stages, files, and what a screen has room for."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from lowbit import load
from lowbit.cli.main import main

ASKED = ("--input", "1,4,4", "--recipe", "r.toml")


@pytest.fixture
def said(here: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """What diff says, when it ends in that code."""

    def run(*arguments: str, code: int) -> str:
        capsys.readouterr()
        assert main(["diff", *arguments]) == code
        return capsys.readouterr().out

    return run


def test_equal_things_are_equal(said: Callable[..., str]) -> None:
    assert said("n.lowbit", "n.lowbit", code=0).startswith("equal: ")
    assert said("net.py:net@captured", "net.py:net@captured", *ASKED, code=0).startswith("equal: ")
    facts = json.loads(said("n.lowbit", "n.lowbit", "--format", "json", code=0))
    assert (facts["equal"], facts["modules"]) == (True, [])


def test_the_stages_differ_by_what_the_passes_added(said: Callable[..., str]) -> None:
    lines = said("net.py:net@captured", "net.py:net", *ASKED, code=1).splitlines()
    assert lines[0] == "0"
    assert "      weight: 0.weight -> fake_quantize_default" in lines
    assert any(line.startswith("  + ") and "lowbit.fake_quantize(x=0.weight" in line for line in lines)
    assert ", 0 removed, " in lines[-1]


def test_json_has_every_difference(said: Callable[..., str]) -> None:
    facts = json.loads(said("net.py:net@captured", "net.py:net", *ASKED, "--format", "json", code=1))
    rows = [row for module in facts["modules"] for row in module["differences"]]
    assert facts["added"] == sum(row["sign"] == "+" for row in rows) > 0
    assert facts["changed"] == sum(row["sign"] == "~" for row in rows)
    assert {row["op"] for row in rows if row["sign"] == "+"} == {"parameter", "exp2", "lowbit.fake_quantize"}


def test_files_differ_by_their_integers(said: Callable[..., str], here: Path) -> None:
    assert main(["compile", "net.py:net", "--recipe", "r.toml", "--data", "net.py:data", "-o", "o.lowbit",
                 "--float-epochs", "1", "--epochs", "1", "--seed", "5"]) == 0  # fmt: skip
    assert load(here / "o.lowbit") != load(here / "n.lowbit")
    out = said("n.lowbit", "o.lowbit", code=1)
    assert " integers differ, by at most " in out
    assert "0 added, 0 removed, " in out


def test_a_file_is_compared_with_what_a_source_becomes(said: Callable[..., str]) -> None:
    """The steps of a file stand in no module."""
    assert main(["compile", "net.py:net", "--recipe", "r.toml", "--data", "net.py:data", "-o", "o.lowbit",
                 "--float-epochs", "0", "--epochs", "0"]) == 0  # fmt: skip
    facts = json.loads(said("o.lowbit", "net.py:net@lowered", *ASKED, "--format", "json", code=1))
    assert (facts["added"], facts["removed"]) == (0, 0)


def test_a_graph_and_a_program_have_no_nodes_in_common(said: Callable[..., str]) -> None:
    facts = json.loads(said("net.py:net@prepared", "n.lowbit", *ASKED, "--format", "json", code=1))
    assert (facts["changed"], facts["unchanged"]) == (0, 0)


def test_modules_that_changed_alike_are_shown_once_unless_all_are_asked_for(said: Callable[..., str]) -> None:
    demo = "lowbit.cli.demo:digits_net"
    asked = (f"{demo}@captured", demo, "--input", "1,8,8", "--recipe", "choi2020")
    short, whole = said(*asked, code=1), said(*asked, "--all", code=1)
    assert "  and likewise in branch.0, branch.3" in short.splitlines()
    assert " more: " in short
    assert "likewise" not in whole
    assert whole.count("\n  + ") == json.loads(said(*asked, "--format", "json", code=1))["added"]
    assert short.splitlines()[-1] == whole.splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("net.py:net@lowerd", "net.py:net", *ASKED), "@lowered"),
        (("n.lowbit@captured", "n.lowbit"), "lowered program"),
        (("n.lowbit", "n.lowbit", "--input", "1,4,4"), "SOURCE"),
        (("net.py:net", "net.py:none", *ASKED), "has no 'none'"),
        (("net.py:net", "missing.lowbit", *ASKED), "missing.lowbit"),
        (("net.py:net@lowered", "net.py:net", "--input", "1,4,4"), "needs a recipe"),
        (("net.py:net", "net.py:net"), "--input"),
        (("net.py:branch", "net.py:net", *ASKED), "cannot be captured"),
    ],
)
def test_trouble_is_told_apart_from_a_difference(
    here: Path, refused: Callable[..., str], arguments: tuple[str, ...], words: str
) -> None:
    assert words in refused("diff", *arguments, code=2)
