"""How the process ends when it is not by the command itself: bugs, Ctrl-C, a reader that has gone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from lowbit import api
from lowbit.cli.main import main


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


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize(("shell", "ends", "said"), [("> /dev/full", 1, "nothing more can be written"), (">&-", 0, "")])
def test_output_that_nothing_takes_is_no_bug(shell: str, ends: int, said: str) -> None:
    code = "import sys; from lowbit.cli.main import main; sys.exit(main(['passes']))"
    command = f"'{sys.executable}' -c \"{code}\" {shell}"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert done.returncode == ends, done.stderr
    assert said in done.stderr
    assert "bug" not in done.stderr
