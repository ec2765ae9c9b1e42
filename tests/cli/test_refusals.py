"""Bad input: one clear message with the place and the way out, an exit code that is not 0, and no partial file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pytest
from commandline import RECIPE, compiling
from lowbit import compilation

Refused: TypeAlias = Callable[..., str]
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
def test_a_bad_recipe_is_refused_with_its_place(case: str, here: Path, refused: Refused) -> None:
    line, parts = RECIPES[case]
    top = line.startswith("colour")
    (here / "r.toml").write_text(f"{line}\n{RECIPE}" if top else f"{RECIPE}{line}\n")
    said = refused(*compiling())
    assert all(part in said for part in parts), said
    assert not (here / "out.lowbit").exists()


SOURCES_REFUSED = {
    "net.py:branch": ["net.py:8", "return x if x.sum() > 0 else -x", "torch.where"],
    "net.py:running": ["cumsum", "no integer form", "lowbit ops"],
    "net.py:broken": ["failed when called", "no weights here", "net.py"],
    "net.py:number": ["gives a int, not a torch.nn.Module"],
    "net.py:nothing": ["has no 'nothing'", "branch"],
    "none.py:net": ["no file 'none.py'"],
    "no.such.module:net": ["cannot be imported", "No module named"],
    "net": ["names no factory", "file.py:factory"],
}


@pytest.mark.parametrize("source", SOURCES_REFUSED)
def test_a_bad_model_is_refused_before_training(source: str, here: Path, refused: Refused) -> None:
    said = refused(*compiling(source))
    assert all(part in said for part in SOURCES_REFUSED[source]), said
    assert not (here / "out.lowbit").exists()


def test_a_checkpoint_is_not_the_output(here: Path, refused: Refused) -> None:
    assert "name one file" in refused(*compiling(), "--checkpoint", str(here / "out.lowbit"))


def test_what_a_file_lacks_is_told_by_what_it_defines(here: Path, refused: Refused) -> None:
    (here / "net.py").write_text("from torch.nn import Linear\nfrom pathlib import Path\ndef make():\n    pass\n")
    assert "it has: make\n" in refused(*compiling("net.py:nope"))
    assert "net.py:factory" in refused("show", "net.py", "--input", "1,8,8")
    assert "net.py:factory" in refused(*compiling("net.py"))


def test_a_syntax_error_is_shown_with_its_line(here: Path, refused: Refused) -> None:
    (here / "net.py").write_text("import torch\n\ndef make(:\n    pass\n")
    assert "net.py:3  def make(:" in refused(*compiling("net.py:make"))


def test_bad_data_is_refused(here: Path, refused: Refused) -> None:
    assert "not a lowbit.Data" in refused(*compiling(data="net.py:number"))
    assert "one of: digits" in refused(*compiling(data="digit"))
    said = refused(*compiling(data="net.py:wide"))
    assert "the model itself fails on the example inputs" in said
    assert "these had the shapes (2, 1, 5, 5)" in said
    assert not (here / "out.lowbit").exists()


def test_example_inputs_that_do_not_fit_are_refused(here: Path, refused: Refused) -> None:
    show = ("show", "net.py:net")
    assert "needs example inputs" in refused(*show)
    assert "these had the shapes (2, 2, 4, 4)" in refused(*show, "--input", "2,4,4")
    assert "too many positional arguments" in refused(*show, "--input", "1,4,4", "--input", "1,4,4")
    assert "needs a recipe" in refused(*show, "--input", "1,4,4", "--stage", "lowered")


def test_an_input_of_the_wrong_shape_is_refused(here: Path, refused: Refused) -> None:
    np.save("x.npy", np.zeros((2, 1, 5, 5), np.float32))
    assert "(2, 1, 5, 5), not (batch, 1, 4, 4)" in refused("run", "n.lowbit", "x.npy", "-o", "y.npy")
    assert "takes 1 inputs, not 2" in refused("run", "n.lowbit", "x.npy", "x.npy", "-o", "y.npy")
    assert "has 1 outputs, not 2" in refused("run", "n.lowbit", "x.npy", "-o", "y.npy", "-o", "z.npy")
    assert not list(here.glob("[yz].npy"))


def test_an_array_that_is_none_is_refused(here: Path, refused: Refused) -> None:
    (here / "x.npy").write_text("not an array")
    assert "x.npy" in refused("run", "n.lowbit", "x.npy", "-o", "y.npy")
    np.save("x.npy", np.array([{}]), allow_pickle=True)
    assert "x.npy" in refused("check", "n.lowbit", "--input", "x.npy")


NPY = {
    "unfinished": b"{'descr': '<f4', 'shape': ((2,\n",
    "no dictionary": b"]\n",
    "beyond memory": b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000, 4)}\n",
}


@pytest.mark.parametrize("case", NPY)
def test_an_array_with_a_broken_header_is_refused(case: str, here: Path, refused: Refused) -> None:
    header = NPY[case]
    (here / "x.npy").write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
    said = refused("run", "n.lowbit", "x.npy", "-o", "y.npy")
    assert "the array cannot be read" in said
    assert "why" in said


@pytest.mark.parametrize("command", [("show",), ("show", "--bytes"), ("check",), ("run", "-o", "y.npy")])
def test_a_damaged_file_is_refused(command: tuple[str, ...], here: Path, refused: Refused) -> None:
    name, *options = command
    more = ["x.npy"] if name == "run" else []
    whole = (here / "n.lowbit").read_bytes()
    flipped = whole[:60] + bytes([whole[60] ^ 16]) + whole[61:]
    for damaged in (whole[:-20], flipped, b"", b"PK" + whole):
        (here / "n.lowbit").write_bytes(damaged)
        said = refused(name, "n.lowbit", *more, *options)
        assert "n.lowbit" in said
        assert "fix" in said
    assert not (here / "y.npy").exists()


@pytest.mark.parametrize("path", ["no/such/folder/out.lowbit", ".", "zz/", "/dev/null"])
def test_an_unwritable_path_is_refused_before_any_work(
    path: str, here: Path, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compilation, "compile", lambda *given: pytest.fail("training began"))
    before = sorted(here.iterdir())
    compiled = refused(*compiling()[:-4], "-o", path)
    ran = refused("run", "n.lowbit", "x.npy", "-o", path)
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
def test_wrong_usage_has_a_code_of_its_own(arguments: str, here: Path, refused: Refused) -> None:
    assert "Error: " in refused(*arguments.split(), code=2)
