"""A new pass is one short file, as CONTRIBUTING tells it, and nothing else: in the repository and in other packages."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
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
CLI = "import sys; from lowbit.cli.main import main; sys.exit(max(main(line.split()) for line in sys.argv[1:]))"
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
EXPLAINED = "explain lowbit.cli.demo:digits_net conv2d --input 1,8,8 --recipe mine.toml"
Run: TypeAlias = Callable[..., str]


def runner(folder: Path, path: Path) -> Run:
    """Runs Python in a folder, with `path` before all that is installed, and gives what it printed."""

    def run(*command: str) -> str:
        environment = {**os.environ, "PYTHONPATH": str(path)}
        done = subprocess.run([sys.executable, *command], cwd=folder, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Runs Python in a copy of the repository with one more file in `passes/`, and a recipe."""
    folder = tmp_path_factory.mktemp("newcomer") / "lowbit"
    shutil.copytree(ROOT, folder, ignore=NOT_COPIED)
    (folder / "passes" / f"{NAME}.py").write_text(OWN)
    (folder / "mine.toml").write_text(RECIPE.format(NAME))
    (folder / "tests" / "test_mine.py").write_text(TEST.format("mine", NAME))
    return runner(folder, folder.parent)


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Runs Python beside a package with the same pass and an entry point, as pip leaves them, its test and a recipe."""
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
    return runner(folder, folder)


def passed(printed: str) -> int:
    counted = re.search(r"(\d+) passed", printed)
    assert counted is not None, printed
    return int(counted[1])


def test_the_file_is_short() -> None:
    assert OWN.count("\n") <= LONGEST


def test_in_the_repository_every_law_holds_it(here: Run) -> None:
    assert passed(here("-m", "pytest", "-q", "tests/test_mine.py")) == len(LAWS)


def test_in_the_repository_every_suite_takes_it_up(here: Run) -> None:
    suites = [f"tests/test_{name}.py" for name in ("pass_laws", "census", "options", "settings", "house")]
    collected = here("-m", "pytest", "-q", "--collect-only", "-k", NAME, *suites)
    assert len(re.findall(rf"::.*{NAME}", collected)) > len(LAWS)


def test_in_the_repository_it_is_told(here: Run) -> None:
    told = here("-c", CLI, "passes", f"passes {NAME}", "compile --help", EXPLAINED)
    assert re.search(rf"{NAME} +Let a rectifier behind a rectifier go\.", told)
    assert re.search(r"most +int +2 +>= 1, <= 9", told)
    assert re.search(rf"{NAME}\.most +int >= 1, <= 9", told)
    assert re.search(rf"{NAME} +once +", told)
    page = here("-c", "import runpy; print(runpy.run_path('docs/generate.py')['page']())")
    assert f"## {NAME}\n\nLet a rectifier behind a rectifier go." in page
    assert "| `most` | int | >= 1, <= 9 | `2` |" in page


def test_in_another_package_every_law_holds_it(elsewhere: Run) -> None:
    assert passed(elsewhere("-m", "pytest", "-q", "-p", "no:cacheprovider", "test_mine.py")) == 2 * len(LAWS)


def test_in_another_package_it_is_told(elsewhere: Run) -> None:
    told = elsewhere("-c", CLI, "passes", "passes my_pass", f"passes {PATH}", "compile --help", EXPLAINED)
    assert re.search(r"my_pass +Let a rectifier behind a rectifier go\.", told)
    assert len(re.findall(r"most +int +2 +>= 1, <= 9", told)) == 2
    assert re.search(r"my_pass\.most +int >= 1, <= 9", told)
    assert re.search(rf"{PATH} +once +", told)
