"""`lowbit recode`, and `--coder`: other bytes, the same program."""

from __future__ import annotations

from pathlib import Path

import pytest
from commandline import compiling
from lowbit.backends import blob
from lowbit.backends.codec import codecs
from lowbit.cli.main import main


def used(path: str) -> set[str]:
    return {entry.what.split()[-1] for entry in blob.account(blob.read(path)) if entry.values}


def test_recode_changes_the_bytes_and_not_the_program(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    program = blob.load("n.lowbit")
    for coder in (name for name, codec in codecs().items() if codec.written):
        assert main(["recode", "n.lowbit", "--coder", coder, "-o", "m.lowbit"]) == 0
        assert (here / "m.lowbit").read_bytes() == blob.dumps(program, coder)
        assert blob.dumps(blob.load("m.lowbit")) == blob.dumps(program)
        assert str((here / "m.lowbit").stat().st_size) in capsys.readouterr().out
    assert main(["recode", "m.lowbit", "--coder", "packed", "-o", "m.lowbit"]) == 0
    assert used("m.lowbit") == {"packed"}
    assert main(["recode", "m.lowbit", "-o", "m.lowbit"]) == 0
    assert (here / "m.lowbit").read_bytes() == blob.dumps(program)


def test_recode_of_no_file_writes_nothing(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "bad.lowbit").write_bytes((here / "n.lowbit").read_bytes()[:-1])
    assert main(["recode", "bad.lowbit", "-o", "m.lowbit"]) == 1
    assert "bad.lowbit" in capsys.readouterr().err
    assert not (here / "m.lowbit").exists()


def test_compile_takes_a_coder(here: Path) -> None:
    assert main([*compiling(), "--coder", "packed"]) == 0
    assert used("out.lowbit") == {"packed"}


def test_a_coder_that_nothing_writes_any_more_is_wrong_usage(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recode", "n.lowbit", "--coder", "older_cm", "-o", "m.lowbit"]) == 2
    assert "'cm_max'" in capsys.readouterr().err
    assert not (here / "m.lowbit").exists()
