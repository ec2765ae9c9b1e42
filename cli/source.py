"""What a SOURCE or DATA argument names: `package.module:factory`, `file.py:factory`, or a name that is built in."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from ..compiler.errors import LowbitError, UserError

if TYPE_CHECKING:
    from torch import nn

    from ..compiler.training import Data

FORM = "write package.module:factory or file.py:factory"
SETS = {"digits": f"{__package__}.demo:digits"}
"""Data sets by their short names."""


def model(reference: str, seed: int = 0) -> nn.Module:
    """The module that a SOURCE names, or that its factory returns when called without arguments. Raises UserError.

    seed: of torch's random numbers while it is made.
    """
    import torch
    from torch import nn

    torch.manual_seed(seed)
    found = _named(reference)
    made = found if isinstance(found, nn.Module) else _called(found, reference)
    if not isinstance(made, nn.Module):
        raise UserError(f"'{reference}' gives a {type(made).__name__}, not a torch.nn.Module", fix="return the model")
    return made


def data(reference: str) -> Data:
    """The classification task that a DATA names, or that its factory returns. Raises UserError."""
    from ..compiler.training import Data

    found = _named(SETS.get(reference, reference))
    made = found if isinstance(found, Data) else _called(found, reference)
    if not isinstance(made, Data):
        fix = "return lowbit.Data(train, test)"
        raise UserError(f"'{reference}' gives a {type(made).__name__}, not a lowbit.Data", fix=fix)
    return made


def _named(reference: str) -> Any:
    place, colon, name = reference.rpartition(":")
    if not colon or not place or not name:
        known = f"{FORM}, or one of: {', '.join(SETS)}"
        fix = f"name one of its functions: {reference}:factory" if reference.endswith(".py") else known
        raise UserError(f"'{reference}' names no factory", fix=fix)
    module = _file(Path(place)) if place.endswith(".py") else _module(place)
    if not hasattr(module, name):
        own = [key for key, value in vars(module).items() if callable(value) and _own(key, value, module)]
        raise UserError(f"'{place}' has no '{name}'", fix=f"it has: {', '.join(own) or 'nothing to call'}")
    return getattr(module, name)


def _own(key: str, value: Any, module: ModuleType) -> bool:
    """Whether the module itself defines it, and does not only import it."""
    return not key.startswith("_") and getattr(value, "__module__", "") == module.__name__


def _file(path: Path) -> ModuleType:
    if not path.is_file():
        raise UserError(f"there is no file '{path}'", fix=FORM)
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
        raise _failed(f"'{path}' cannot be loaded", error) from error
    return module


def _module(name: str) -> ModuleType:
    sys.path.insert(0, os.getcwd())  # as `python -m` does
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:
        raise _failed(f"'{name}' cannot be imported", error) from error


def _called(factory: Any, reference: str) -> Any:
    if not callable(factory):
        raise UserError(f"'{reference}' is a {type(factory).__name__}, not a factory", fix="name a function")
    try:
        return factory()
    except (Exception, SystemExit) as error:
        raise _failed(f"'{reference}' failed when called without arguments", error) from error


def _failed(what: str, error: BaseException) -> LowbitError:
    """The same failure as a UserError with the line of the user's code that raised it."""
    if isinstance(error, LowbitError):
        return error
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename != __file__]
    theirs = [frame for frame in frames if not frame.filename.startswith("<frozen")]
    where = f"{theirs[-1].filename}:{theirs[-1].lineno}  {theirs[-1].line}" if theirs else ""
    if isinstance(error, SyntaxError) and error.filename:  # the line that cannot be parsed is in no frame
        where = f"{error.filename}:{error.lineno}  {(error.text or '').strip()}"
    return UserError(what, where=where, why=f"{type(error).__name__}: {error}")
