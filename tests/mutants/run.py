"""Puts each seeded bug into a copy of the repository and runs the test that must notice it.

python tests/mutants/run.py [-k PART_OF_NAME] [-j JOBS]; exits with 1 when a bug survives.
"""

from __future__ import annotations

import argparse
import importlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mutant import Mutant

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
PACKAGE = "lowbit"
SECONDS = 600
# pytest's own numbers: only failed tests are a catch; a mutant that cannot even be collected proves nothing.
VERDICTS = {0: "SURVIVED", 1: "caught"}


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-k", default="", metavar="NAME", help="only mutants whose list or name contains this")
    parser.add_argument("-j", type=int, default=1, metavar="JOBS", help="how many at a time")
    options = parser.parse_args(arguments)
    chosen = {name: mutant for name, mutant in found() if options.k in name}
    if not chosen:
        print(f"no mutant is called like '{options.k}'")
        return 1
    if (clean := verdict_of_clean(sorted({mutant.test for mutant in chosen.values()}))) != VERDICTS[0]:
        print(f"without any mutant the tests give: {clean}")
        return 1
    return _report(chosen, options.j)


def found() -> Iterator[tuple[str, Mutant]]:
    """Every mutant of every list in this folder, under `list/name`."""
    for path in sorted(HERE.glob("*.py")):
        for mutant in getattr(importlib.import_module(path.stem), "MUTANTS", []) if path.stem != "run" else []:
            yield f"{path.stem}/{mutant.name}", mutant


def verdict_of(mutant: Mutant) -> str:
    with tempfile.TemporaryDirectory() as folder:
        copy = copied(Path(folder))
        text = (copy / mutant.file).read_text(encoding="utf-8")
        if text.count(mutant.old) != 1:
            return f"STALE: the old text occurs {text.count(mutant.old)} times"
        (copy / mutant.file).write_text(text.replace(mutant.old, mutant.new), encoding="utf-8")
        return tested(copy, [mutant.test])


def verdict_of_clean(tests: Sequence[str]) -> str:
    """The same run with nothing changed: it must survive, or a catch means nothing."""
    with tempfile.TemporaryDirectory() as folder:
        return tested(copied(Path(folder)), tests)


def copied(folder: Path) -> Path:
    """A copy of the source, tracked or not, at `folder/lowbit`, where PYTHONPATH makes it the package.

    Extensions come along as they were compiled.
    """
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listing, cwd=REPOSITORY, check=True, capture_output=True, text=True).stdout
    compiled = (path for part in ("compiler", "backends") for path in (REPOSITORY / part).rglob("*.abi3.so"))
    extensions = [str(path.relative_to(REPOSITORY)) for path in compiled]
    for name in filter(None, [*names.split("\0"), *extensions]):
        if (REPOSITORY / name).is_file():
            target = folder / PACKAGE / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(REPOSITORY / name, target)
    return folder / PACKAGE


def tested(copy: Path, tests: Sequence[str]) -> str:
    environment = {**os.environ, "PYTHONPATH": str(copy.parent), "PYTHONDONTWRITEBYTECODE": "1"}
    # Were the installed package imported instead of the copy, every mutant would seem to survive.
    probe = f"import {PACKAGE}; print({PACKAGE}.__file__)"
    origin = subprocess.run(
        [sys.executable, "-c", probe], cwd=copy, env=environment, check=True, capture_output=True, text=True
    ).stdout
    if Path(origin.strip()) != copy / "__init__.py":
        return f"NOT TESTED: {PACKAGE} is imported from {origin.strip()}"
    command = [sys.executable, "-m", "pytest", "-x", "-q", *tests]
    try:
        done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        return f"HUNG: longer than {SECONDS} s"
    return VERDICTS.get(done.returncode, f"NOT TESTED: pytest {done.returncode}\n{done.stdout[-1500:]}")


def _report(chosen: dict[str, Mutant], jobs: int) -> int:
    width, survivors = max(map(len, chosen)), 0
    with ThreadPoolExecutor(jobs) as pool:
        for name, verdict in zip(chosen, pool.map(verdict_of, chosen.values()), strict=True):
            survivors += verdict != VERDICTS[1]
            print(f"{name:{width}}  {verdict}", flush=True)
    print(f"{len(chosen) - survivors} of {len(chosen)} caught")
    return int(survivors > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
