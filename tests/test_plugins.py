"""Passes of other packages: found, told, used in recipes and refused with the place, the cause and the way out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from lowbit.api import passes
from lowbit.cli.main import main
from lowbit.compiler.errors import UserError
from lowbit.compiler.pipeline import Entry, run
from lowbit.compiler.recipe import Recipe, dump, parse
from lowbit.compiler.sketches.sketch import build
from plugged import Package


@pytest.fixture
def package(tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Package]:
    """A new one for every test, under a name of its own: modules stay imported."""
    yield Package(tmp_path, re.sub(r"\W", "_", f"of_{request.node.name}"), monkeypatch)
    monkeypatch.undo()
    Package.forget()


def recipe(name: str, *lines: str) -> Recipe:
    return parse("\n".join(('name = "r"', "[[prepare]]", f'use = "{name}"', *lines)), passes())


def ran(chosen: Recipe) -> Entry:
    return run(build("conv(3) relu relu"), chosen.prepare).ledger[0]


def refused(name: str) -> UserError:
    with pytest.raises(UserError) as caught:
        recipe(name)
    return caught.value


def test_a_pass_by_its_path(package: Package) -> None:
    chosen = recipe(package.path, "most = 5", 'layers."2" = { most = 1 }')
    assert parse(dump(chosen), passes()) == chosen
    assert [event.reason for event in ran(chosen).events] == ["one alone is looked at"]
    assert ran(recipe(package.path)).fired == 1


def test_a_pass_by_its_entry_point(package: Package) -> None:
    package.install("my_pass")
    assert "my_pass" in passes()
    assert list(passes()) == sorted(passes())
    chosen = recipe("my_pass", "most = 5")
    assert chosen.prepare[0].pass_ is recipe(package.path).prepare[0].pass_
    assert parse(dump(chosen), passes()) == chosen
    assert ran(chosen).fired == 1


def test_the_options_of_such_a_pass_are_checked(package: Package) -> None:
    with pytest.raises(UserError) as caught:
        recipe(package.path, "most = 10")
    assert caught.value.where == "prepare[0].most"


@pytest.mark.parametrize("taken", ["freeze", "my_pass"])
def test_no_name_is_taken_twice(package: Package, taken: str) -> None:
    package.install("my_pass")
    package.install(taken, "another")
    with pytest.raises(UserError, match=f"two passes are called '{taken}'") as caught:
        passes()
    assert package.path in caught.value.where
    assert "another name" in caught.value.fix


WRONG = {
    "nobody.passes:my_pass": ("cannot be imported", "No module named 'nobody'", "PYTHONPATH"),
    "{0}.passes:your_pass": ("has no 'your_pass'", "", "its passes are: my_pass"),
    "{0}.passes:number": ("is a int, not a Pass", "", "name a"),
    "{0}.broken:my_pass": ("cannot be imported", "ZeroDivisionError", ""),
    "{0}.passes:": ("is not the place of a pass", "", "module:attribute"),
    ":my_pass": ("is not the place of a pass", "", "module:attribute"),
    "{0}.passes": ("no pass is called", "", "module:attribute"),
}


@pytest.mark.parametrize("path", WRONG)
def test_what_is_no_pass_is_refused(package: Package, path: str) -> None:
    (package.folder / package.name / "broken.py").write_text("1 / 0\n")
    what, why, fix = WRONG[path]
    error = refused(path.format(package.name))
    assert what in error.what
    assert why in error.why
    assert fix in error.fix
    assert error.where == "prepare[0].use"
    assert ("broken.py:1" in error.why) == ("broken" in path)


def test_the_command_line_tells(package: Package, capsys: pytest.CaptureFixture[str]) -> None:
    package.install("my_pass")
    assert main(["passes"]) == 0
    listed = capsys.readouterr().out
    assert f"Let a rectifier behind a rectifier go. (entry point my_pass = {package.path} of {package.name})" in listed
    for name in ("my_pass", package.path):
        assert main(["passes", name]) == 0
        told = capsys.readouterr().out
        assert "relu(relu(x)) = relu(x)" in told
        assert re.search(r"most +int +2 +>= 1, <= 9", told)
    assert main(["compile", "--help"]) == 0
    assert re.search(r"my_pass.most +int >= 1, <= 9 +\[default: 2\]", capsys.readouterr().out)


def test_a_broken_package_is_told_and_leaves_the_others(package: Package, capsys: pytest.CaptureFixture[str]) -> None:
    package.install("my_pass")
    (package.folder / package.name / "passes.py").unlink()
    assert main(["passes"]) == 0
    listed = capsys.readouterr().out
    assert "my_pass" in listed
    assert "cannot be read" in listed
    assert "freeze" in listed
    assert main(["passes", "my_pass"]) == 1
    assert "cannot be imported" in capsys.readouterr().err
