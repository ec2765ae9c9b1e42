"""Puts programs on disk whole or not at all, and gets them back."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

from ...compiler.errors import UserError
from ..fixed.program import Program
from ..wire import FileError
from .reader import MAX_VALUES, loads
from .writer import dumps

_PROGRAM = 2**24  # bytes that a file may hold beyond 9 for each integer


def save(program: Program, path: str | os.PathLike[str]) -> int:
    """Write `program` to `path` and return the number of bytes. What was there stays until the new file is whole.

    Raises UserError when the path cannot be written; then nothing has changed.
    """
    data = dumps(program)
    try:
        _replace(_target(path), data)
    except (OSError, ValueError) as error:
        raise UserError(
            "the file cannot be written", where=os.fspath(path), why=_reason(error), fix="choose another path"
        ) from None
    return len(data)


def load(path: str | os.PathLike[str], max_values: int = MAX_VALUES) -> Program:
    """The program in the file at `path`; see `loads`. Raises FileError, which names the path."""
    try:
        return loads(read(path, max_values), max_values)
    except FileError as error:
        raise error.placed(path=os.fspath(path)) from None


def read(path: str | os.PathLike[str], max_values: int = MAX_VALUES) -> bytes:
    """The bytes of a file, unless it is longer than any that holds `max_values` integers."""
    most = 9 * max_values + _PROGRAM
    try:
        with open(path, "rb") as file:
            data = file.read(most + 1)
    except (OSError, ValueError) as error:
        raise FileError("the file cannot be read", path=os.fspath(path), why=_reason(error), fix="check it") from None
    if len(data) > most:
        raise FileError("the file is too long", path=os.fspath(path), fix="raise max_values if you trust the file")
    return data


def _target(path: str | os.PathLike[str]) -> Path:
    target = Path(os.path.realpath(path))  # a link stays a link
    if target.exists() and not target.is_file():
        raise FileExistsError(None, "it is there already and is not a file")  # a device must not be replaced
    return target


def _replace(target: Path, data: bytes) -> None:
    draft = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        with open(draft, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, target)
    except BaseException:  # an interrupt leaves no draft behind either
        with contextlib.suppress(OSError):
            draft.unlink()
        raise


def _reason(error: OSError | ValueError) -> str:
    return getattr(error, "strerror", None) or str(error)  # a ValueError is a zero byte in the path
