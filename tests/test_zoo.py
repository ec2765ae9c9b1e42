"""The capture zoo in small: rows of each outcome, an oracle that objects, a runner that resumes, and the report."""

from __future__ import annotations

import copy
import gc
import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import nn

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(scope="module")
def zoo() -> Callable[[str], ModuleType]:
    """Imports a part of the zoo, which stands beside the benchmark and is no part of the package."""
    sys.path.insert(0, str(BENCHMARKS))
    gc.freeze()  # it collects garbage before it measures, and need not visit what other tests keep
    yield lambda name: importlib.import_module(f"zoo.{name}")
    sys.path.remove(str(BENCHMARKS))


@pytest.mark.parametrize("name", ["batch_norm_with_its_own_constants", "nested_outputs", "a_module_used_twice"])
def test_a_row_that_is_captured(zoo: Callable[[str], Any], name: str) -> None:
    row = zoo("catalogue").row(f"small/{name}")
    result = zoo("measure").measure(row, timed=name == "nested_outputs")
    assert result["outcome"] == "whole"
    assert zoo("oracle").equal(result["equal"])
    assert zoo("oracle").equal(result["other batch"])
    assert zoo("expected").shortfall(row, result) == ""
    assert result.get("seconds", {"export": 1})["export"] > 0


def test_a_row_that_is_refused(zoo: Callable[[str], Any]) -> None:
    row = zoo("catalogue").row("small/a_branch_on_data")
    result = zoo("measure").measure(row)
    assert "if y.sum() > 0" in result["refusal"]["where"]
    assert zoo("expected").shortfall(row, result) == ""
    told = {**result, "refusal": {**result["refusal"], "where": "nowhere"}}
    assert "another line" in zoo("expected").shortfall(row, told)
    assert "captured" in zoo("expected").shortfall(row, {**result, "outcome": "whole"})


def test_names_are_once_and_families_are_there(zoo: Callable[[str], Any]) -> None:
    rows = zoo("catalogue").rows("small")
    assert len(rows) == len({row.name for row in rows})
    assert len(rows) >= 60


FAULTS: dict[str, tuple[str, Callable[[nn.Module], object]]] = {
    "eval": ("batch_norm_with_its_own_constants", lambda model: setattr(model[1], "eps", 1e-1)),
    "train": ("functional_dropout", lambda model: setattr(model, "forward", lambda x: model.lin(x))),
    "gradients": ("frozen_parameters", lambda model: model[0].requires_grad_()),
    "buffers": ("batch_norm_with_its_own_constants", lambda model: setattr(model[1], "momentum", 0.1)),
    "eval after": ("a_module_used_twice", lambda model: setattr(model.part[1], "momentum", 0.2)),
}
"""What the oracle must find different -> a row, and what is done to its module to that end."""


@pytest.mark.parametrize("what", FAULTS)
def test_the_oracle_finds_what_differs(zoo: Callable[[str], Any], what: str) -> None:
    name, spoil = FAULTS[what]
    row, compare = zoo("catalogue").row(f"small/{name}"), zoo("oracle").compare
    assert set(compare(row, row.fresh(), 2).values()) == {0.0}
    model = row.fresh()
    spoil(model)
    assert not zoo("oracle").equal({what: compare(row, model, 2)[what]})


def test_the_oracle_finds_lost_names_and_forms(zoo: Callable[[str], Any]) -> None:
    row = zoo("catalogue").row("small/frozen_batch_norm")
    renamed = nn.Sequential(row.fresh())
    assert "keys differ" in zoo("oracle").renamed(row, renamed)
    assert zoo("oracle").renamed(row, copy.deepcopy(row.fresh())) == ""
    pair = zoo("catalogue").row("small/nested_outputs")
    model: Any = pair.fresh()
    model.forward = lambda x: [model.lin(x)]
    assert zoo("oracle").compare(pair, model, 2)["eval"] == float("inf")


def test_results_are_kept_a_cut_line_is_not_and_a_dead_worker_costs_one_row(
    zoo: Callable[[str], Any], tmp_path: Path
) -> None:
    runner, said = zoo("runner"), list[str]()
    names = [f"small/{name}" for name in ("nested_outputs", "none", "a_check_of_shapes")]
    file = tmp_path / "results.jsonl"
    file.write_text('{"name": "small/nested_outputs", "outcome": "whole"}\n{"name": "small/cut', encoding="utf-8")
    runner.run(names, file, 1, False, False, said.append)
    _, dead, alive = found = list(runner.results(file))
    assert [result["name"] for result in found] == names
    assert dead["outcome"] == "crashed"
    assert "ended with code 1" in dead["what"]
    assert "StopIteration" in (tmp_path / "worker.log").read_text(encoding="utf-8")
    assert alive["outcome"] == "whole"
    assert len(said) == 2
    assert "small/a_check_of_shapes: whole" in said[1]


def test_the_report_counts_and_names_the_failures(zoo: Callable[[str], Any]) -> None:
    row = zoo("catalogue").row("small/a_check_of_shapes")
    good = zoo("measure").measure(row, timed=False)
    bad = {**good, "name": "small/nested_outputs", "equal": {**good["equal"], "gradients": 0.5}}
    text = zoo("report").report([good, bad], "python benchmarks/capture_zoo.py")
    assert "| small | 2 | 2 (100.0 %)" in text
    assert "1 (50.0 %)" in text
    assert "`small/nested_outputs`: whole, gradients 5e-01" in text
    assert torch.__version__ in text
