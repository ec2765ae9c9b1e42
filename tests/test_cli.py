"""The command line: every command helps, runs, and says in one screen what is wrong with bad input."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import click
import lowbit
import numpy as np
import pytest
from lowbit import api
from lowbit.backends.check import compare
from lowbit.backends.target import Target, targets
from lowbit.cli.main import lowbit as group
from lowbit.cli.main import main

SOURCES = """
import torch, lowbit
from torch import nn
from torch.utils.data import TensorDataset

class Branch(nn.Module):
    def forward(self, x):
        return x if x.sum() > 0 else -x

def net():
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3))

def branch():
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 3), Branch())

def gelu():
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 3), nn.GELU())

def broken():
    raise RuntimeError("no weights here")

def number():
    return 7

def data(size=4):
    x, y = torch.rand(24, 1, size, size), torch.arange(24) % 3
    return lowbit.Data(TensorDataset(x, y), TensorDataset(x, y))

def wide():
    return data(5)
"""
RECIPE = """
name = "small"
[[prepare]]
use = "insert_fake_quant"
weight_bits = 4
"""
COMMANDS = sorted(group.commands)


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small file that is whole."""
    folder = tmp_path_factory.mktemp("program")
    (folder / "net.py").write_text(SOURCES)
    (folder / "r.toml").write_text(RECIPE)
    arguments = ["--recipe", str(folder / "r.toml"), "--data", f"{folder}/net.py:data", "-o", f"{folder}/n.lowbit"]
    assert main(["compile", f"{folder}/net.py:net", *arguments, "--float-epochs", "1", "--epochs", "1"]) == 0
    return folder / "n.lowbit"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: Path) -> Path:
    """A folder to stand in, with a source, a recipe, arrays and a good file."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text(SOURCES)
    (tmp_path / "r.toml").write_text(RECIPE)
    (tmp_path / "n.lowbit").write_bytes(program.read_bytes())
    np.save(tmp_path / "x.npy", np.linspace(0, 1, 32, dtype=np.float32).reshape(2, 1, 4, 4))
    return tmp_path


def refused(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 1) -> str:
    """Run a command that must fail cleanly, and return what it said."""
    capsys.readouterr()
    assert main(arguments) == code
    said = capsys.readouterr()
    assert said.out == ""
    assert "Traceback" not in said.err
    assert "bug" not in said.err
    assert len(said.err.splitlines()) < 25
    return said.err


def compiling(source: str = "net.py:net", recipe: str = "r.toml", data: str = "net.py:data") -> tuple[str, ...]:
    return ("compile", source, "--recipe", recipe, "--data", data, "-o", "out.lowbit", "--epochs", "0")


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


@pytest.mark.parametrize("arguments", ["--help", "passes", "ops", "ops conv2d", "recipes", "recipes choi2020"])
def test_what_needs_no_torch_does_not_wait_for_it(arguments: str) -> None:
    code = "import sys; from lowbit.cli.main import main; main(sys.argv[1:]); sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code, *arguments.split()], check=True, stdout=subprocess.DEVNULL)


def test_compile_ends_in_one_table_of_the_file(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(compiling()) == 0
    out = capsys.readouterr().out
    rows = {line[:24].strip(): line[24:].strip() for line in out.splitlines()}
    size = (here / "out.lowbit").stat().st_size
    assert rows["file"] == f"{size:,} bytes"
    assert rows["bit-exact"].startswith("yes (interpreter, numpy, torch agree on all")
    assert rows["integer accuracy, numpy"] == rows["integer accuracy, torch"]
    assert "insert_fake_quant" in out


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
        assert "conv2d" in out
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
    assert "rescale: 12 elements differ" in capsys.readouterr().out


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


RECIPES = {
    "an unknown key": ('colour = "red"', ["unknown recipe key 'colour'"]),
    "an unknown option": ("weight_bit = 3", ["unknown option `weight_bit`", "prepare[0].weight_bit", "weight_bits"]),
    "an unknown pass": ('[[prepare]]\nuse = "magic"', ["no pass is called 'magic'", "prepare[1].use", "freeze"]),
    "no bits": ("activation_bits = 0", ["`int` >= 1", "prepare[0].activation_bits"]),
    "too many bits": ("activation_bits = 17", ["`int` <= 16", "prepare[0].activation_bits"]),
    "a pattern that fits nothing": (
        'layers."conv*" = { weight_bits = 2 }',
        ["'conv*'", "matches nothing", "use one of"],
    ),
    "no TOML": ("weight_bits = ", ["not valid TOML", "line"]),
}


@pytest.mark.parametrize("case", RECIPES)
def test_a_bad_recipe_is_refused_with_its_place(case: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line, parts = RECIPES[case]
    top = line.startswith("colour")
    (here / "r.toml").write_text(f"{line}\n{RECIPE}" if top else f"{RECIPE}{line}\n")
    said = refused(capsys, *compiling())
    assert all(part in said for part in parts), said
    assert not (here / "out.lowbit").exists()


SOURCES_REFUSED = {
    "net.py:branch": ["net.py:8", "return x if x.sum() > 0 else -x", "torch.where"],
    "net.py:gelu": ["gelu", "no integer form", "lowbit ops"],
    "net.py:broken": ["failed when called", "no weights here", "net.py"],
    "net.py:number": ["gives a int, not a torch.nn.Module"],
    "net.py:nothing": ["has no 'nothing'", "branch"],
    "none.py:net": ["no file 'none.py'"],
    "no.such.module:net": ["cannot be imported", "No module named"],
    "net": ["names no factory", "file.py:factory"],
}


@pytest.mark.parametrize("source", SOURCES_REFUSED)
def test_a_bad_model_is_refused_before_training(source: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = refused(capsys, *compiling(source))
    assert all(part in said for part in SOURCES_REFUSED[source]), said
    assert not (here / "out.lowbit").exists()


def test_bad_data_is_refused(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "not a lowbit.Data" in refused(capsys, *compiling(data="net.py:number"))
    assert "one of: digits" in refused(capsys, *compiling(data="digit"))
    assert "cannot be captured" in refused(capsys, *compiling(data="net.py:wide"))
    assert not (here / "out.lowbit").exists()


def test_an_input_of_the_wrong_shape_is_refused(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save("x.npy", np.zeros((2, 1, 5, 5), np.float32))
    assert "(2, 1, 5, 5), not (batch, 1, 4, 4)" in refused(capsys, "run", "n.lowbit", "x.npy", "-o", "y.npy")
    assert "takes 1 inputs, not 2" in refused(capsys, "run", "n.lowbit", "x.npy", "x.npy", "-o", "y.npy")
    assert "has 1 outputs, not 2" in refused(capsys, "run", "n.lowbit", "x.npy", "-o", "y.npy", "-o", "z.npy")
    assert not list(here.glob("[yz].npy"))


def test_an_array_that_is_none_is_refused(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "x.npy").write_text("not an array")
    assert "x.npy" in refused(capsys, "run", "n.lowbit", "x.npy", "-o", "y.npy")
    np.save("x.npy", np.array([{}]), allow_pickle=True)
    assert "x.npy" in refused(capsys, "check", "n.lowbit", "--input", "x.npy")


@pytest.mark.parametrize("command", [("show",), ("show", "--bytes"), ("check",), ("run", "-o", "y.npy")])
def test_a_damaged_file_is_refused(command: tuple[str, ...], here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name, *options = command
    more = ["x.npy"] if name == "run" else []
    whole = (here / "n.lowbit").read_bytes()
    flipped = whole[:60] + bytes([whole[60] ^ 16]) + whole[61:]
    for damaged in (whole[:-20], flipped, b"", b"PK" + whole):
        (here / "n.lowbit").write_bytes(damaged)
        said = refused(capsys, name, "n.lowbit", *more, *options)
        assert "n.lowbit" in said
        assert "fix" in said
    assert not (here / "y.npy").exists()


@pytest.mark.parametrize("path", ["no/such/folder/out.lowbit", ".", "/dev/null"])
def test_an_unwritable_path_is_refused_before_any_work(
    path: str, here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "compile", lambda *given: pytest.fail("training began"))
    before = sorted(here.iterdir())
    compiled = refused(capsys, *compiling()[:-4], "-o", path)
    ran = refused(capsys, "run", "n.lowbit", "x.npy", "-o", path)
    for said in (compiled, ran):
        assert "cannot be written" in said
        assert path in said
    assert sorted(here.iterdir()) == before


@pytest.mark.parametrize(
    "arguments",
    [
        "nothing",
        "compile",
        "show net.py:net --input 1,x",
        "show net.py:net --bytes",
        "show n.lowbit --recipe choi2020",
        "check n.lowbit --batch 0",
        "compile net.py:net --recipe r.toml --data net.py:data -o o --lr 0",
    ],
)
def test_wrong_usage_has_a_code_of_its_own(arguments: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "Error: " in refused(capsys, *arguments.split(), code=2)


def test_a_bug_is_reported_as_one(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "load", lambda path: {}["missing"])
    assert main(["check", "n.lowbit"]) == 1
    said = capsys.readouterr().err
    assert "lowbit has a bug: KeyError" in said
    assert "please report it" in said
    assert "Traceback" not in said
    assert main(["--traceback", "check", "n.lowbit"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_an_interrupt_is_one_line(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(path: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(api, "load", interrupted)
    assert main(["check", "n.lowbit"]) == 130
    assert capsys.readouterr().err.strip() == "stopped"


def test_a_reader_that_has_gone_is_no_error() -> None:
    code = "import sys; from lowbit.cli.main import main; sys.exit(main(['passes']))"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
