"""A new pass is one short file, as CONTRIBUTING tells it, and nothing else: in the repository and in other packages."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

import pytest
from lowbit.compiler.plugins import GROUP
from lowbit.testing import LAWS
from plugged import PASS

ROOT = Path(__file__).parents[1]
NOT_COPIED = shutil.ignore_patterns(".*", "build", "runs", "__pycache__", "*.lowbit", "*.egg-info")
NAME = "drop_second_relu"
OWN = PASS.format(name=NAME).replace("from lowbit.compiler", "from ..compiler").replace("my_pass =", "PASS =")
PATH = "newcomers.passes:my_pass"
LONGEST = 40
SCRIPT = """
import runpy
import pytest
from lowbit.cli.main import main
for line in {lines}:
    print("{cut}", line, flush=True)
    command, _, rest = line.partition(" ")
    if command == "pytest":
        assert pytest.main(rest.split()) == 0
    elif command == "docs":
        print(runpy.run_path("docs/generate.py")["page"]())
    else:
        assert main(line.split()) == 0
"""
CUT = "===== what comes of"
RECIPE = """
name = "mine"
[[prepare]]
use = "{0}"
most = 3
[[prepare]]
use = "insert_fake_quant"
"""
TEST = """
from lowbit.testing import pass_laws

test_{0} = pass_laws("{1}", networks=3)
"""
TOLD = ("passes", "compile --help", "explain lowbit.cli.demo:digits_net conv2d --input 1,8,8 --recipe mine.toml")
SUITES = " ".join(f"tests/test_{name}.py" for name in ("pass_laws", "census", "options", "settings", "house"))
HERE = "pytest -q tests/test_mine.py", f"pytest -q --collect-only -k {NAME} {SUITES}"
ELSEWHERE = "pytest -q -p no:cacheprovider test_mine.py"
Printed: TypeAlias = Mapping[str, str]
pytestmark = pytest.mark.xdist_group("newcomer")  # what is printed is printed once


def printed(folder: Path, path: Path, *lines: str) -> Printed:
    """Command -> what it printed: all of them in one process in a folder, with `path` before what is installed."""
    environment = {**os.environ, "PYTHONPATH": str(path), "PYTEST_ADDOPTS": ""}
    command = [sys.executable, "-c", SCRIPT.format(lines=lines, cut=CUT)]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    parts = (part.partition("\n") for part in done.stdout.split(f"{CUT} ")[1:])
    return {line: text for line, _, text in parts}


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Printed:
    """Of a copy of the repository with one more file in `passes/`, and a recipe."""
    folder = tmp_path_factory.mktemp("newcomer") / "lowbit"
    shutil.copytree(ROOT, folder, ignore=NOT_COPIED)
    (folder / "passes" / f"{NAME}.py").write_text(OWN)
    (folder / "mine.toml").write_text(RECIPE.format(NAME))
    (folder / "tests" / "test_mine.py").write_text(TEST.format("mine", NAME))
    return printed(folder, folder.parent, "docs", *TOLD, f"passes {NAME}", *HERE)


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Printed:
    """Beside a package with the same pass and an entry point, as pip leaves them, its test and a recipe."""
    folder = tmp_path_factory.mktemp("elsewhere")
    info = folder / "newcomers-1.0.dist-info"
    for path in (folder / "newcomers", info):
        path.mkdir()
    (folder / "newcomers" / "__init__.py").write_text("")
    (folder / "newcomers" / "passes.py").write_text(PASS.format(name="my_pass"))
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: newcomers\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{GROUP}]\nmy_pass = newcomers.passes:my_pass\n")
    (folder / "test_mine.py").write_text(TEST.format("path", PATH) + TEST.format("entry_point", "my_pass"))
    (folder / "mine.toml").write_text(RECIPE.format(PATH))
    return printed(folder, folder, *TOLD, "passes my_pass", f"passes {PATH}", ELSEWHERE)


def passed(text: str) -> int:
    counted = re.search(r"(\d+) passed", text)
    assert counted is not None, text
    return int(counted[1])


def test_the_file_is_short() -> None:
    assert OWN.count("\n") <= LONGEST


def test_in_the_repository_every_law_holds_it(here: Printed) -> None:
    assert passed(here[HERE[0]]) == len(LAWS)


def test_in_the_repository_every_suite_takes_it_up(here: Printed) -> None:
    assert len(re.findall(rf"::.*{NAME}", here[HERE[1]])) > len(LAWS)


def test_in_the_repository_it_is_told(here: Printed) -> None:
    listed, helped, explained = (here[line] for line in TOLD)
    assert re.search(rf"{NAME} +Let a rectifier behind a rectifier go\.", listed)
    assert re.search(r"most +int +2 +>= 1, <= 9", here[f"passes {NAME}"])
    assert re.search(rf"{NAME}\.most +int >= 1, <= 9", helped)
    assert re.search(rf"{NAME} +once +", explained)
    assert f"## {NAME}\n\nLet a rectifier behind a rectifier go." in here["docs"]
    assert "| `most` | int | >= 1, <= 9 | `2` |" in here["docs"]


def test_in_another_package_every_law_holds_it(elsewhere: Printed) -> None:
    assert passed(elsewhere[ELSEWHERE]) == 2 * len(LAWS)


def test_in_another_package_it_is_told(elsewhere: Printed) -> None:
    listed, helped, explained = (elsewhere[line] for line in TOLD)
    assert re.search(r"my_pass +Let a rectifier behind a rectifier go\.", listed)
    for line in ("passes my_pass", f"passes {PATH}"):
        assert re.search(r"most +int +2 +>= 1, <= 9", elsewhere[line])
    assert re.search(r"my_pass\.most +int >= 1, <= 9", helped)
    assert re.search(rf"{PATH} +once +", explained)
