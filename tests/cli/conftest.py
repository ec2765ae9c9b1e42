"""A folder to run commands in, and a run that must be refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from commandline import RECIPE, SOURCES
from lowbit.cli.main import main


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


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs a command that must fail cleanly, and returns what it said."""

    def run(*arguments: str, code: int = 1) -> str:
        capsys.readouterr()
        assert main(arguments) == code
        said = capsys.readouterr()
        assert said.out == ""
        assert "Traceback" not in said.err
        assert "bug" not in said.err
        assert len(said.err.splitlines()) < 25
        return said.err

    return run
