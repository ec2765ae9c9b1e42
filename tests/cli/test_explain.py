"""explain on the command line: what is asked for is told on one screen, and a wrong name is answered with near ones."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lowbit.cli.main import main

ASKED = ("--input", "1,4,4", "--recipe", "r.toml")
DEMO = "lowbit.cli.demo:digits_net"


@pytest.fixture
def told(here: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """What explain says of a node of the small net."""

    def run(node: str, *more: str, source: str = "net.py:net") -> str:
        capsys.readouterr()
        asked = ASKED if source != DEMO else ("--input", "1,8,8", "--recipe", "r.toml")
        assert main(["explain", source, node, *asked, *more]) == 0
        return capsys.readouterr().out

    return run


def plain(said: str) -> Any:
    return json.loads(said)


def test_a_node_is_told_on_one_screen_to_its_lowering(told: Callable[..., str]) -> None:
    said = told("conv2d").splitlines()
    assert said[0].startswith("conv2d: conv2d float32[N,4,2,2] of 0")
    assert len(said) < 25
    assert any("fold_codes" in line and "replaced by conv2d_default" in line for line in said)
    assert said[-1].split() == ["lowering", "convolution", "conv2d_default", "integer"]


def test_rules_that_never_looked_share_a_line(told: Callable[..., str]) -> None:
    line = next(line for line in told("flatten").splitlines() if line.startswith("freeze"))
    assert " ".join(line.split()) == (
        "freeze freeze_weight, freeze_scale, freeze_masked never looked"
        " they look at lowbit.fake_quantize or lowbit.masked, mul.Tensor"
    )


def test_json_says_the_same_of_each_node(told: Callable[..., str]) -> None:
    facts = plain(told("1", "--format", "json"))
    assert facts["version"] == 1
    assert {node["layer"] for node in facts["nodes"]} == {"1"}
    assert [(ran["stage"], ran["pass"]) for ran in facts["passes"]] == [
        ("prepare", "insert_fake_quant"), ("eval", "eval mode"), ("lower", "freeze"), ("lower", "fold_batch_norm"),
        ("lower", "remove_dead_units"), ("lower", "reorder_units"),
    ]  # fmt: skip
    folded = [v for v in facts["passes"][3]["verdicts"] if v["outcome"] == "fired" and v["node"] == "batch_norm"]
    assert [(v["rule"], v["why"], v["what"]) for v in folded] == [("fold", "replaced by", "conv2d_default")]
    assert [(v["node"], v["rule"], v["outcome"]) for v in facts["lowering"]] == [
        ("conv2d_default", "convolution", "integer")
    ]


def test_numbers_are_those_of_the_stage(told: Callable[..., str]) -> None:
    captured = plain(told("%0", "--format", "json"))
    prepared = plain(told("%1", "--stage", "prepared", "--format", "json"))
    assert captured["nodes"][0]["name"] == "_0_weight"
    assert prepared["nodes"][0]["trail"] == ["insert_fake_quant/put"]
    assert prepared["passes"][0]["verdicts"][0]["why"] == "made"


def test_a_line_of_the_source_is_all_that_it_computes(told: Callable[..., str]) -> None:
    (node,) = plain(told("batch_norm", "--format", "json", source=DEMO))["nodes"]
    assert node["source"]
    place = node["source"].split()[0]
    found = plain(told(place, "--format", "json", source=DEMO))["nodes"]
    assert {"conv2d", "batch_norm", "relu"} <= {node["name"] for node in found}
    assert {node["source"].split()[0] for node in found} == {place}


def test_a_call_without_integers_is_told_why(told: Callable[..., str]) -> None:
    last = told("cumsum", source="net.py:running").splitlines()[-1]
    assert "unsupported" in last
    assert "no lowering rule takes it" in last


def test_a_recipe_that_stops_is_told_where(here: Path, told: Callable[..., str]) -> None:
    (here / "r.toml").write_text('name = "p"\n[[prepare]]\nuse = "schedule_pruning"\n')
    last = told("conv2d").splitlines()[-1]
    assert "stopped" in last
    assert "'freeze' needs 'every weight on a grid'" in last


def test_many_nodes_share_rows(told: Callable[..., str]) -> None:
    said = told("*").splitlines()
    assert "nodes" in said[0]
    assert len(said) < 30
    assert any(" more " in line for line in said)


def test_a_wrong_name_is_answered_with_near_ones(here: Path, refused: Callable[..., str]) -> None:
    assert "conv2d" in refused("explain", "net.py:net", "conv2", *ASKED)
    assert "%0 to %" in refused("explain", "net.py:net", "%999", *ASKED)


def test_without_a_recipe_there_are_no_rules(here: Path, refused: Callable[..., str]) -> None:
    assert "--recipe" in refused("explain", "net.py:net", "conv2d", "--input", "1,4,4", code=2)
