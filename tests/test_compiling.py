"""The system's compiler and the cache of what it made: damage heals, and what cannot be used is said or passed over."""

from __future__ import annotations

import shutil
import stat
from pathlib import Path

import numpy as np
import pytest
from blobs import tiny
from lowbit.backends import soonest
from lowbit.backends.c99 import compiler
from lowbit.backends.target import targets
from lowbit.compiler.errors import Unsupported

TEXT = "int answer(void)\n{\n    return 42;\n}\n"
pytestmark = pytest.mark.skipif(bool(compiler.reason()), reason=compiler.reason())


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of this test alone."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "lowbit" / "c99"


def answer() -> int:
    number: int = compiler.library(TEXT, ("-O0",)).answer()
    return number


def stub(folder: Path, code: int) -> str:
    """A program that takes any arguments, writes nothing and ends so."""
    path = folder / "stub"
    path.write_text(f"#!/bin/sh\nexit {code}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def test_what_was_made_is_kept(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert answer() == 42
    kept = {path: path.stat().st_mtime_ns for path in cache.iterdir()}
    compiler._loaded.cache_clear()
    monkeypatch.setattr(compiler, "_made", None)
    assert answer() == 42
    assert kept == {path: path.stat().st_mtime_ns for path in cache.iterdir()}


@pytest.mark.parametrize("left", [0, 1000, -1])
def test_a_damaged_library_is_made_again(left: int, cache: Path) -> None:
    """To load one that is cut short would end the process."""
    assert answer() == 42
    (kept,) = cache.iterdir()
    data = kept.read_bytes()
    kept.unlink()  # this process still maps the old one
    kept.write_bytes(data[:left])
    compiler._loaded.cache_clear()
    assert answer() == 42
    assert kept.read_bytes() == data


def test_a_cache_that_takes_nothing_is_passed_over(cache: Path) -> None:
    cache.parent.mkdir()
    cache.write_text("no folder")
    assert answer() == 42


def test_where_nothing_can_be_kept_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiler, "_folders", lambda: iter([Path("/dev/null/cache")]))
    with pytest.raises(Unsupported, match="cannot be kept or loaded"):
        answer()


@pytest.mark.parametrize(
    ("command", "why"), [("gcc '", "names no program"), ("nonsense", "names no program"), ("false", "false")]
)
def test_a_compiler_that_is_none_is_named(command: str, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOWBIT_CC", command)
    assert why in compiler.reason()
    with pytest.raises(Unsupported, match=why):
        answer()


@pytest.mark.skipif(shutil.which("sh") is None, reason="there is no shell")
def test_a_compiler_that_writes_nothing_leaves_the_program_to_torch(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOWBIT_CC", stub(tmp_path, 0))
    with pytest.raises(Unsupported, match="the C compiler refused the program"):
        answer()
    program = tiny()
    inputs = [np.zeros((1, *program.values[port.value].shape), np.int64) for port in program.inputs]
    monkeypatch.setattr(soonest, "PAYS", 1)
    expected = targets()["interpreter"].run(program, inputs)
    assert all(map(np.array_equal, soonest.run(program, inputs), expected))
    assert soonest.ready(program) is None
