"""The house rules: which way imports point, how long files and functions are, one member a file, what is installed."""

from __future__ import annotations

import ast
import importlib
import tomllib
from functools import cache
from pathlib import Path

import click
import lowbit
import pytest
from lowbit.backends.c99.element import Element
from lowbit.backends.c99.kernel import Kernel
from lowbit.backends.c99.move import Move
from lowbit.backends.codec import Codec
from lowbit.backends.fixed.op import Op
from lowbit.backends.lowering.lower import Lowering
from lowbit.backends.target import Target
from lowbit.compiler.contract import Pass
from lowbit.compiler.registry import members
from lowbit.compiler.task import Task

ROOT = Path(__file__).parents[1]
FOLDERS = ("compiler", "passes", "backends", "cli", "recipes", "testing", "integrations")
PACKAGE = sorted([*ROOT.glob("*.py"), *(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))])
BESIDE = ("tests", "benchmarks", "docs")
EVERYTHING = [*PACKAGE, *sorted(path for folder in BESIDE for path in (ROOT / folder).rglob("*.py"))]
FILE, FUNCTION = 300, 40

MAY_IMPORT = {
    "compiler": {"compiler"},
    "passes": {"compiler"},
    "backends": {"compiler", "backends"},
    "recipes": set(),
    "api": {"compiler", "backends", "recipes"},
    "compilation": {"compiler", "backends", "api"},
    "cli": {"compiler", "backends", "recipes", "api", "compilation", "integrations", "cli", "lowbit"},
    "integrations": {"compiler", "integrations"},
    "testing": {"compiler", "backends", "api", "testing"},
    "lowbit": {"compiler", "backends", "api", "compilation"},
}
"""Part of the house -> the parts that it may import; "lowbit" is the package itself, its public names."""
KINDS = {
    "passes": Pass,
    "backends.fixed.ops": Op,
    "backends.c99.elements": Element,
    "backends.c99.kernels": Kernel,
    "backends.c99.moves": Move,
    "backends.codecs": Codec,
    "backends.targets": Target,
    "backends.lowering.rules": Lowering,
    "compiler.tasks": Task,
    "cli.commands": click.Command,
}


def part(place: tuple[str, ...]) -> str:
    """The part of the house that a module belongs to: `("passes", "freeze")` to passes, `()` to lowbit itself."""
    return place[0] if place else "lowbit"


def imports(path: Path) -> set[tuple[str, ...]]:
    """The modules of lowbit that a file imports, anywhere in it, as paths from the root."""
    place = path.relative_to(ROOT).with_suffix("").parts
    package = place[:-1]
    found: set[tuple[str, ...]] = set()
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            found |= {tuple(name.name.split("."))[1:] for name in node.names if name.name.split(".")[0] == "lowbit"}
        elif isinstance(node, ast.ImportFrom) and (node.level or (node.module or "").split(".")[0] == "lowbit"):
            named = tuple((node.module or "").split(".")) if node.module else ()
            base = (*package[: len(package) - node.level + 1], *named) if node.level else named[1:]
            found |= {(*base, name.name) if is_module((*base, name.name)) else base for name in node.names}
    return found


def is_module(place: tuple[str, ...]) -> bool:
    path = ROOT.joinpath(*place)
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_imports_point_one_way() -> None:
    for path in PACKAGE:
        place = path.relative_to(ROOT).with_suffix("").parts
        own = "lowbit" if place == ("__init__",) else place[0]
        for target in imports(path):
            assert part(target) in MAY_IMPORT[own], f"{named(path)} imports {'.'.join(target) or 'lowbit'}"


def test_imports_inside_the_package_are_relative() -> None:
    for path in PACKAGE:
        nodes = list(ast.walk(parsed(path)))
        named_imports = [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
        plain = [name.name for node in nodes if isinstance(node, ast.Import) for name in node.names]
        assert not [name for name in [*named_imports, *plain] if name.split(".")[0] == "lowbit"], named(path)


def test_files_say_what_they_are_for_and_keep_their_length() -> None:
    for path in EVERYTHING:
        text = path.read_text(encoding="utf-8")
        doc = (ast.get_docstring(parsed(path)) or "").split("\n")[0]
        assert doc, f"{named(path)} does not begin with a docstring: what it is for"
        assert text.count("\n") <= FILE, named(path)
        for node in ast.walk(parsed(path)):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                assert node.end_lineno is not None
                assert node.end_lineno - node.lineno + 1 <= FUNCTION, f"{named(path)}: {node.name} is too long"


@pytest.mark.parametrize("package", KINDS)
def test_a_file_in_a_member_folder_holds_one_record(package: str) -> None:
    folder = ROOT.joinpath(*package.split("."))
    found = members(f"lowbit.{package}", KINDS[package])
    assert sorted(found) == sorted(path.stem for path in folder.glob("*.py") if path.stem != "__init__")


def test_what_is_installed_is_every_folder_with_code_and_nothing_else() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    code = {".".join(("lowbit", *path.parent.relative_to(ROOT).parts)) for path in PACKAGE if path.stem == "__init__"}
    assert sorted(settings["packages"]) == sorted(code)
    assert settings["package-dir"] == {"lowbit": "."}
    assert all(list((ROOT / "recipes").glob(pattern)) for pattern in settings["package-data"]["lowbit.recipes"])


def test_the_public_names_are_there_and_lazy_names_are_refused() -> None:
    assert all(getattr(lowbit, name) is not None for name in lowbit.__all__)
    with pytest.raises(AttributeError, match="no attribute 'magic'"):
        _ = lowbit.magic


def test_no_public_name_is_hidden_by_a_folder() -> None:
    # Importing lowbit.passes sets the attribute `passes`: a function of that name would vanish.
    for folder in FOLDERS:
        importlib.import_module(f"lowbit.{folder}")
        assert folder not in lowbit.__all__


def test_every_seeded_bug_still_fits_the_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mutant whose text has moved on would prove nothing; `make mutants` is too slow to notice in time."""
    folder = ROOT / "tests" / "mutants"
    monkeypatch.syspath_prepend(str(folder))
    lists = [path.stem for path in folder.glob("*.py") if path.stem not in ("mutant", "run")]
    mutants = [mutant for name in lists for mutant in importlib.import_module(name).MUTANTS]
    assert len(mutants) > 100
    assert [m.name for m in mutants if (ROOT / m.file).read_text(encoding="utf-8").count(m.old) != 1] == []
