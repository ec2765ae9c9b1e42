"""Every command helps, shows examples that it accepts, and does what it says."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import click
import lowbit
import numpy as np
import pytest
from commandline import RECIPE, compiling
from lowbit import api
from lowbit.backends.check import compare
from lowbit.backends.target import Target, targets
from lowbit.cli.main import lowbit as group
from lowbit.cli.main import main

COMMANDS = sorted(group.commands)


@pytest.mark.parametrize("name", COMMANDS)
def test_help_shows_examples(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--help"]) == 0
    out = capsys.readouterr().out
    assert "Examples:" in out
    assert f"lowbit {name}" in out.partition("Examples:")[2]


@pytest.mark.parametrize("name", COMMANDS)
def test_examples_are_spelled_as_the_command_wants_them(name: str) -> None:
    command = group.commands[name]
    lines = [line.strip() for line in (command.help or "").splitlines()]
    examples = [line.split() for line in lines if line.startswith(f"lowbit {name} ") or line == f"lowbit {name}"]
    assert examples
    for example in examples:
        arguments = example[2 : example.index(">")] if ">" in example else example[2:]
        with click.Context(group) as parent:
            command.make_context(name, arguments, parent=parent)


@pytest.mark.parametrize(
    "arguments", ["--help", "run --help", "passes", "ops", "ops conv2d", "recipes", "recipes choi2020"]
)
def test_what_needs_no_torch_does_not_wait_for_it(arguments: str) -> None:
    code = "import sys; from lowbit.cli.main import main; main(sys.argv[1:]); sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code, *arguments.split()], check=True, stdout=subprocess.DEVNULL)


def test_what_runs_a_file_does_not_wait_for_the_tracer() -> None:
    code = "import sys; from lowbit import check, load; sys.exit('torch._dynamo' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_compile_ends_in_one_table_of_the_file(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(compiling()) == 0
    out = capsys.readouterr().out
    rows = {line[:24].strip(): line[24:].strip() for line in out.splitlines()}
    size = (here / "out.lowbit").stat().st_size
    assert rows["file"] == f"{size:,} bytes"
    agreed = ", ".join(["interpreter", *(n for n, t in targets().items() if n != "interpreter" and not t.available())])
    assert rows["bit-exact"].startswith(f"yes ({agreed} agree on all")
    assert rows["integer accuracy, numpy"] == rows["integer accuracy, torch"]
    assert "insert_fake_quant" in out


def test_help_of_run_names_every_target(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--help"]) == 0
    assert ", ".join(targets()) in " ".join(capsys.readouterr().out.split())


def test_compile_counts_the_layers_of_each_pattern(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "r.toml").write_text(RECIPE + 'layers."4" = { weight_bits = 8 }\n')
    assert main(compiling()) == 0
    assert "'4' 1" in capsys.readouterr().out


def test_the_same_seed_gives_the_same_bytes(here: Path) -> None:
    files = []
    for _ in range(2):
        assert main([*compiling(), "--float-epochs", "1", "--seed", "3"]) == 0
        files.append((here / "out.lowbit").read_bytes())
    assert files[0] == files[1]


@pytest.mark.parametrize("stage", ["captured", "prepared", "lowered"])
def test_show_draws_every_stage_in_every_form(stage: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["show", "net.py:net", "--input", "1,4,4", "--recipe", "r.toml", "--stage", stage, "--format"]
    for form in ("table", "text", "json"):
        assert main([*arguments, form]) == 0
        out = capsys.readouterr().out
        assert "conv2d" in out.lower()
    facts = json.loads(out)
    assert facts["version"] == 1
    assert facts["stage"] == stage
    assert facts["outputs"]


def test_show_of_a_file_accounts_for_every_byte(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "n.lowbit", "--bytes", "--format", "json"]) == 0
    parts = json.loads(capsys.readouterr().out)["parts"]
    assert sum(part["bytes"] for part in parts) == (here / "n.lowbit").stat().st_size
    assert main(["show", "n.lowbit", "--bytes"]) == 0
    assert "checksums" in capsys.readouterr().out


def test_run_takes_real_numbers_or_integers(here: Path) -> None:
    compiled = lowbit.load("n.lowbit")
    x = np.load("x.npy")
    np.save("q.npy", compiled.quantize(x)[0])
    assert main(["run", "n.lowbit", "x.npy", "-o", "y.npy"]) == 0
    assert main(["run", "n.lowbit", "q.npy", "-o", "yq.npy", "--target", "interpreter"]) == 0
    real, whole = np.load("y.npy"), np.load("yq.npy")
    port = compiled.program.outputs[0]
    assert real.dtype == np.float32
    assert whole.dtype == np.int64
    assert np.array_equal(real, ((whole - port.zero) * port.scale).astype(np.float32))


def test_check_passes_on_drawn_and_given_inputs(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "n.lowbit", "--batch", "5", "--seed", "1"]) == 0
    assert main(["check", "n.lowbit", "--input", "x.npy"]) == 0
    assert capsys.readouterr().out.count("equal") == 2 * (len(targets()) - 1)


def test_check_names_the_first_difference(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = Target(lambda program, inputs, watch: [y + 1 for y in targets()["numpy"].run(program, inputs, watch)])
    monkeypatch.setattr(api, "check", lambda compiled, *given: compare(compiled.program, given, {"wrong": wrong}))
    assert main(["check", "n.lowbit"]) == 1
    assert "requantize: 12 elements differ" in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["passes", "ops"])
def test_every_member_is_told(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([kind]) == 0
    names = [line.split()[0] for line in capsys.readouterr().out.splitlines()[1:]]
    assert names
    for name in names:
        assert main([kind, name]) == 0
        assert capsys.readouterr().out.count("\n") > 5
    assert main([kind, "nothing"]) == 1
    assert names[0] in capsys.readouterr().err
