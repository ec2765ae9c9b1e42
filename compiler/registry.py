"""A file in a folder is a member: finds the one record in each module of a package, named after the file."""

from __future__ import annotations

import ast
import functools
import importlib
import importlib.util
import pkgutil
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from .errors import Broken

Record = TypeVar("Record")


def members(package: str, kind: type[Record]) -> MappingProxyType[str, Record]:
    """Name -> record for every module of `package`, in name order.

    package: absolute dotted name.   kind: the record's type.
    Raises Broken for a module without exactly one module-level `kind`; an import error passes through.
    """
    found: MappingProxyType[str, Record] = _scan(package, kind)  # type: ignore[arg-type]  # a class is hashable
    return found


@functools.cache
def _scan(package: str, kind: type[Any]) -> MappingProxyType[str, Any]:
    return MappingProxyType({name: _record(f"{package}.{name}", kind) for name in names(package)})


def _record(module_name: str, kind: type[Record]) -> Record:
    module = importlib.import_module(module_name)
    records = [item for item in vars(module).values() if isinstance(item, kind)]
    if len(records) != 1:
        raise Broken(
            f"{module_name} holds {len(records)} {kind.__name__} records",
            why="the file's name is the member's name, so it must hold exactly one",
            fix=f"define one module-level {kind.__name__} there, and move helpers to another folder",
        )
    return records[0]


def names(package: str) -> list[str]:
    """The names of the members of `package`, in order; none of them is imported."""
    return sorted(info.name for info in pkgutil.iter_modules(importlib.import_module(package).__path__))


def explanation(package: str, name: str) -> str:
    """A member's docstring: what it is for. The member is not imported, which can take seconds."""
    return docstring(f"{package}.{name}")


def docstring(module: str) -> str:
    """The docstring of a module, which is not imported. Raises Broken without a file, ImportError without a parent."""
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise Broken(f"{module} has no file")
    return ast.get_docstring(ast.parse(Path(spec.origin).read_text(encoding="utf-8"))) or ""
