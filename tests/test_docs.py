"""The documentation is true: its code runs, its commands and files exist, its recipes parse."""

from __future__ import annotations

import re
import runpy
import shlex
from pathlib import Path
from types import SimpleNamespace

import click
import pytest
from lowbit import api
from lowbit.backends.fixed.registry import ops
from lowbit.cli.main import lowbit as group
from lowbit.compiler.recipe import parse

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = sorted(group.commands)
LIKE_CODE = re.compile(r"`((?:[a-z_0-9]+/)+[a-z_0-9]+\.[a-z]+)`")
LINKED = re.compile(r"\]\((?!http)([^)#]+)")
GENERATOR = SimpleNamespace(**runpy.run_path(str(ROOT / "docs" / "generate.py")))


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def spoken() -> list[list[str]]:
    """The arguments of every `lowbit` command in the blocks of the README."""
    lines = [line.partition("#")[0].strip() for block in blocks("sh") for line in block.splitlines()]
    return [shlex.split(line)[1:] for line in lines if line.startswith("lowbit ")]


def test_the_code_of_the_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code = "\n".join(blocks("python"))
    assert code
    exec(compile(code, "README.md", "exec"), {"__name__": "readme"})
    assert (tmp_path / "digits.lowbit").stat().st_size > 0


def test_the_recipes_of_the_readme_parse() -> None:
    assert blocks("toml")
    for text in blocks("toml"):
        assert parse(text, api.passes()).prepare


@pytest.mark.parametrize("arguments", spoken(), ids=" ".join)
def test_a_command_of_the_readme_is_spelled_right(arguments: list[str]) -> None:
    name, *rest = arguments[: arguments.index(">")] if ">" in arguments else arguments
    with click.Context(group) as parent:
        group.commands[name].make_context(name, rest, parent=parent)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_in_the_readme(name: str) -> None:
    assert name in {arguments[0] for arguments in spoken()}


def test_every_make_target_of_the_readme_exists() -> None:
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert set(re.findall(r"^make (\w+)", README, re.MULTILINE)) <= set(targets)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_files_that_a_page_names_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    missing = [name for name in LIKE_CODE.findall(text) if not (ROOT / name).exists() and "/x." not in name]
    missing += [name for name in LINKED.findall(text) if not (page.parent / name).exists()]
    assert not missing


def test_the_page_of_the_passes_is_what_their_files_say() -> None:
    assert (ROOT / "docs" / "passes.md").read_text(encoding="utf-8") == GENERATOR.page(), "run `make docs`"


def test_the_page_of_the_recipes_is_what_their_files_and_the_results_say() -> None:
    assert (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8") == GENERATOR.recipes_page(), "run `make docs`"


def test_the_specification_of_the_program_is_what_the_records_of_the_ops_say() -> None:
    assert (ROOT / "docs" / "fixed.md").read_text(encoding="utf-8") == GENERATOR.fixed_page(), "run `make docs`"


def test_the_specification_has_every_op_with_all_that_makes_a_step_legal() -> None:
    page = GENERATOR.fixed_page()
    for name, op in ops().items():
        section = page.split(f"### {name}\n")[1].split("\n### ")[0]
        assert f"Number in a file: {op.code}." in section
        assert all(f"* {rule.name}: {rule.sentence}" in section for rule in op.constraints)
        assert all(f"| `{key}` |" in section for key in op.attributes)
        assert ("Core." in section) == (op.expand is None)
        assert "\nrange = " in section


def test_the_shipped_recipes_parse() -> None:
    from lowbit.recipes import shipped

    assert shipped()
    for name in shipped():
        chosen = api.read_recipe(name)
        assert chosen.name == name
        assert chosen.summary
