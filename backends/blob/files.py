"""Puts programs on disk whole or not at all, and gets them back."""

from __future__ import annotations

import os

from ...compiler import disk
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
    disk.write(path, data)
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
        why = disk.reason(error)
        raise FileError("the file cannot be read", path=os.fspath(path), why=why, fix="check it") from None
    if len(data) > most:
        raise FileError("the file is too long", path=os.fspath(path), fix="raise max_values if you trust the file")
    return data
