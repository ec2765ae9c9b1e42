"""The command `verify`: what it shows, when it exits with 1, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from commandline import compiling
from lowbit.backends.fixed.program import Builder
from lowbit.cli.main import main

SOURCE = ("net.py:net", "out.lowbit", "--recipe", "r.toml", "--data", "net.py:data", "--epochs", "0")


@pytest.fixture
def compiled(here: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """The folder, with a file made without training."""
    assert main([*compiling(), "--float-epochs", "0"]) == 0
    capsys.readouterr()
    return here


def test_the_table_has_a_row_for_each_grid_and_says_that_the_contract_is_kept(
    compiled: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", *SOURCE, "--float-epochs", "0", "--samples", "20"]) == 0
    lines = capsys.readouterr().out.splitlines()
    heads, *rows = lines[: lines.index("")]
    assert heads.split()[:3] == ["rounds", "module", "codes"]
    assert [row.split()[0] for row in rows] == ["input", "relu", "linear"]
    assert rows[0].split()[1] == "320"
    told = dict(line.split("  ", 1) for line in lines[lines.index("") + 1 :])
    assert {key: value.strip() for key, value in told.items()}["samples"] == "20"
    assert lines[-1].split() == ["contract", "kept"]


def test_json_tells_the_same(compiled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", *SOURCE, "--float-epochs", "0", "--format", "json", "--distance", "3"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["version"] == 1
    assert found["contract"] == pytest.approx({"share": 1e-4, "distance": 3, "agreement": 0.999})
    assert found["samples"] == 24
    assert [node["call"] for node in found["nodes"]] == ["input", "relu", "linear"]
    assert found["nodes"][1]["layer"] == "2"
    assert found["nodes"][1]["error"]["sqnr"] > 10


def test_a_checkpoint_stands_for_the_training(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trained = ["--float-epochs", "1", "--epochs", "1", "--checkpoint", "t.ckpt"]
    assert main([*compiling(), *trained]) == 0
    assert main(["verify", *SOURCE, *trained]) == 0
    assert "kept" in capsys.readouterr().out


def test_the_exit_code_is_1_where_codes_differ(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    step = Builder.step

    def moved(self: Builder, op: str, *inputs: int, origin: str = "", **given: Any) -> int:
        return step(self, op, *inputs, origin=origin, **given | ({"zero": 1} if "zero" in given else {}))

    monkeypatch.setattr(Builder, "step", moved)
    assert main([*compiling(), "--float-epochs", "0"]) == 0
    capsys.readouterr()
    assert main(["verify", *SOURCE, "--float-epochs", "0"]) == 1
    out = capsys.readouterr().out
    assert "! relu" in " ".join(out.split())
    assert "first bad node" in out
    assert "codes differ" in out.splitlines()[-1]


def test_what_cannot_be_compared_is_refused(compiled: Path, program: Path, refused: Callable[..., str]) -> None:
    given = ("verify", *SOURCE)
    said = refused(*given, "--float-epochs", "1")
    assert "the model would have to be trained" in said
    assert "--checkpoint" in said
    assert "there is no checkpoint 'no.ckpt'" in refused(*given, "--checkpoint", "no.ckpt")
    other = [str(program) if part == "out.lowbit" else part for part in given]
    assert "not what the prepared model becomes" in refused(*other, "--float-epochs", "0")
