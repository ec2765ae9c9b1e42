"""`package.module:factory` and `file.py:factory`: what a Python module holds under a name, called if it is to be."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import inspect
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from ...compiler.errors import UserError
from .failure import failed, takes

FORM = "write package.module:factory or file.py:factory"


def named(place: str, name: str) -> Any:
    """What the module or file `place` holds as `name`. Importing it runs it. Raises UserError."""
    module = _file(Path(place)) if place.endswith(".py") else _module(place)
    if hasattr(module, name):
        return getattr(module, name)
    own = [key for key, value in vars(module).items() if callable(value) and _own(key, value, module)]
    raise UserError(f"'{place}' has no '{name}'", fix=f"it has: {', '.join(own) or 'nothing to call'}")


def called(factory: Any, reference: str, arguments: Mapping[str, Any]) -> Any:
    """What the factory returns. Raises UserError, which for other arguments than it takes gives its signature."""
    if not callable(factory):
        raise UserError(f"'{reference}' is a {type(factory).__name__}, not a factory", fix="name a function")
    form = takes(factory, getattr(factory, "__name__", "factory"))
    _refuse(factory, reference, arguments, form)
    try:
        return factory(**arguments)
    except (Exception, SystemExit) as error:
        how = "with these arguments" if arguments else "without arguments"
        raise failed(
            f"'{reference}' failed when called {how}", error, form if isinstance(error, TypeError) else ""
        ) from error


def _refuse(factory: Callable[..., Any], reference: str, arguments: Mapping[str, Any], form: str) -> None:
    """Refuse arguments that the factory does not take, before it runs."""
    try:
        signature = inspect.signature(factory)
    except (TypeError, ValueError):  # some that are written in C have none
        return
    try:
        signature.bind(**arguments)
    except TypeError as error:
        strange = [name for name in arguments if name not in signature.parameters]
        near = [twin for name in strange for twin in difflib.get_close_matches(name, signature.parameters, 1)]
        meant = f"; did you mean {', '.join(near)}?" if near else ""
        fix = f"{form}{meant}; arguments follow a question mark: {reference.partition('?')[0]}?NAME=VALUE"
        raise UserError(f"'{reference}' takes other arguments", why=str(error), fix=fix) from None


def _own(key: str, value: Any, module: ModuleType) -> bool:
    """Whether the module itself defines it, and does not only import it."""
    return not key.startswith("_") and getattr(value, "__module__", "") == module.__name__


def _file(path: Path) -> ModuleType:
    if not path.is_file():
        raise UserError(f"'{path}' is a folder" if path.is_dir() else f"there is no file '{path}'", fix=FORM)
    name = f"lowbit_source_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UserError(f"'{path}' is not a Python file", fix=FORM)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # as any import does: dataclasses and pickles look their module up there
    sys.path.insert(0, str(path.resolve().parent))  # as `python file.py` does, for the files beside it
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise failed(f"'{path}' cannot be loaded", error) from error
    return module


def _module(name: str) -> ModuleType:
    sys.path.insert(0, os.getcwd())  # as `python -m` does
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:
        raise failed(f"'{name}' cannot be imported", error) from error
