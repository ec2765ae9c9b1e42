"""Every form of SOURCE gives the model that it names, or says what is wrong with it; nothing is ever downloaded."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from lowbit.cli import source
from lowbit.cli.main import main
from lowbit.cli.sources.query import arguments
from lowbit.compiler.errors import UserError
from torch import nn

NET = """
from torch import nn

class Net(nn.Module):
    def __init__(self, width=4, *, bias=True, act="relu"):
        super().__init__()
        self.linear = nn.Linear(width, width, bias=bias)
        self.act = act

    def forward(self, x):
        return self.linear(x)

def make(width: int = 4, depth: int = 1, **more):
    made = nn.Sequential(*(nn.Linear(width, width) for _ in range(depth)))
    made.given = {"width": width, "depth": depth, **more}
    return made

def positional(width, /):
    return nn.Linear(width, width)

def deep(width=1):
    return nn.Linear("three", width)

def leaves():
    raise SystemExit("not today")

ready = nn.Linear(2, 2)
count = 7
"""
LITERALS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
NAMES = st.from_regex(r"[a-z_]\w{0,6}", fullmatch=True).filter(str.isidentifier)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to stand in, with a source; what sources put on the path is taken off again."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "net.py").write_text(NET)
    return tmp_path


def refusal(reference: str, make: Callable[[str], Any] = source.model) -> str:
    """What is said of a reference that must be refused."""
    with pytest.raises(UserError) as caught:
        make(reference)
    return str(caught.value)


@given(st.dictionaries(NAMES, LITERALS, max_size=4))
def test_what_is_written_as_a_query_is_read_back(wanted: dict[str, Any]) -> None:
    query = "&".join(f"{quote(name)}={quote(repr(value), safe='')}" for name, value in wanted.items())
    assert arguments(query) == wanted
    assert [type(value) for value in arguments(query).values()] == [type(value) for value in wanted.values()]


@given(st.text())
def test_any_query_is_read_or_refused(query: str) -> None:
    try:
        found = arguments(query)
    except UserError:
        return
    assert all(name.isidentifier() for name in found)


def test_values_are_literals_words_or_text() -> None:
    found = arguments("a=3&b=1e-3&c=[1,2]&d=true&e=False&f=NONE&g=relu&h=&i='3'&j=a=b&k=x%26y&l=1if&m=1+1&n=50%25")
    assert found == {
        "a": 3, "b": 1e-3, "c": [1, 2], "d": True, "e": False, "f": None, "g": "relu", "h": "", "i": "3", "j": "a=b",
        "k": "x&y", "l": "1if", "m": "1+1", "n": "50%",
    }  # fmt: skip
    assert arguments("") == {}


@pytest.mark.parametrize(
    ("query", "said"),
    [("a", "'a' has no value"), ("=3", "not the name"), ("a-b=3", "'a-b'"), ("a=1&&b=2", "''"), ("a=1&a=1", "twice")],
)
def test_a_broken_query_is_refused(query: str, said: str, here: Path) -> None:
    assert said in refusal(f"net.py:make?{query}")


def test_a_factory_takes_arguments(here: Path) -> None:
    made: Any = source.model("net.py:make?width=8&depth=2&act=relu&bias=false&path=a:b?c")
    assert made.given == {"width": 8, "depth": 2, "act": "relu", "bias": False, "path": "a:b?c"}
    assert [layer.in_features for layer in made] == [8, 8]
    made = source.model("net.py:Net?width=2&bias=false")
    assert made.linear.bias is None
    made = source.model("net:make?width=3")  # the same as a module of this folder
    assert made[0].in_features == 3
    assert isinstance(source.model("net.py:ready"), nn.Linear)
    assert source.model("net.py:make?").given["depth"] == 1  # type: ignore[index]


def test_the_seed_decides_the_weights(here: Path) -> None:
    one, same, other = (source.model("net.py:make", seed)[0].weight for seed in (1, 1, 2))  # type: ignore[index]
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("net.py:Net?widht=8", ["unexpected keyword argument 'widht'", "Net(width=4, *, bias=True", "mean width"]),
        ("net.py:positional?width=8", ["takes other arguments", "positional(width, /)"]),
        ("net.py:positional", ["missing a required argument: 'width'", "positional(width, /)"]),
        ("net.py:make?depth=two", ["net.py:", "for _ in range(depth)", "TypeError", "make(width=4, depth=1, **more)"]),
        ("net.py:deep", ["net.py:", 'return nn.Linear("three", width)']),
        ("net.py:leaves", ["net.py:", "SystemExit: not today"]),
        ("net.py:count", ["is a int, not a factory"]),
        ("net.py:ready?width=8", ["is a Linear already"]),
        ("net.py:", ["names no factory", "timm:NAME"]),
        (":make", ["names no factory"]),
        ("net.py:2", ["names no factory"]),
        ("", ["names no factory"]),
        ("folder.py:make", ["is a folder"]),
        ("none.py:make", ["there is no file"]),
        ("net.py:mak", ["has no 'mak'", "make"]),
    ],
)
def test_a_bad_factory_is_refused(reference: str, said: list[str], here: Path) -> None:
    (here / "folder.py").mkdir()
    text = refusal(reference)
    assert all(part in text for part in said), text


@pytest.mark.parametrize("folder", ["ünïcode ☃", "with:colon", "what?", "a:b", "x=1&y"])
def test_a_path_may_be_called_anything(folder: str, here: Path) -> None:
    (here / folder).mkdir()
    (here / folder / "nét.py").write_text(NET)
    made: Any = source.model(f"{folder}/nét.py:make?width=2")
    assert made.given["width"] == 2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("def make(:\n", ["bad.py:1  def make(:", "SyntaxError"]),
        ("import torch\nraise OSError('gone')\n", ["bad.py:2", "OSError: gone"]),
        ("import nosuchmodule\n", ["bad.py:1", "nosuchmodule"]),
        ("import sys\nsys.exit(3)\n", ["bad.py:2", "SystemExit"]),
        ("def make():\n    return make\n", ["gives a function, not a torch.nn.Module"]),
        ("def make():\n    return make()\n", ["bad.py:2", "RecursionError"]),
        ("def make():\n    raise ValueError('\\n'.join(['x' * 999] * 99))\n", ["bad.py:2", "ValueError: x"]),
        ("\0", ["bad.py"]),
    ],
)
def test_a_bad_file_is_told_by_its_line(
    text: str, said: list[str], here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "bad.py").write_text(text)
    assert main(["show", "bad.py:make", "--input", "4"]) == 1
    shown = capsys.readouterr().err
    assert all(part in shown for part in said), shown
    assert "Traceback" not in shown
    assert len(shown.splitlines()) < 12


def test_a_file_of_other_text_or_without_permission_is_refused(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "bad.py").write_bytes(b"name = '\xff'\n")
    assert "cannot be loaded" in refusal("bad.py:make")
    # A superuser may read everything, so that taking the permission away would prove nothing.
    monkeypatch.setattr("importlib.machinery.SourceFileLoader.get_data", denied)
    (here / "shut.py").write_text(NET)
    assert "PermissionError" in refusal("shut.py:make")


def denied(*_: Any) -> bytes:
    raise PermissionError(13, "Permission denied")


def test_data_takes_arguments_and_only_factories(here: Path) -> None:
    (here / "net.py").write_text(
        "import torch, lowbit\nfrom torch.utils.data import TensorDataset\n"
        "def data(size=4):\n    task = TensorDataset(torch.rand(size, 2), torch.arange(size))\n"
        "    return lowbit.Data(task, task)\n"
    )
    assert len(source.data("net.py:data?size=7").train) == 7  # type: ignore[arg-type]
    assert "data(size=4)" in refusal("net.py:data?sise=7", source.data)
    assert "one of: digits" in refusal("model.pt2", source.data)
