"""Puts programs on disk whole or not at all, and gets them back."""

from __future__ import annotations

import os
import stat

from ...compiler import disk
from ..fixed.program import Program
from ..wire import FileError
from .layout import MAGIC
from .limits import MAX_VALUES
from .reader import loads
from .writer import dumps

_PROGRAM = 2**24  # bytes that a file may hold beyond 9 for each integer


def save(program: Program, path: str | os.PathLike[str], coder: str | None = None) -> int:
    """Write `program` to `path` and return the number of bytes. What was there stays until the new file is whole.

    coder: see `dumps`.   Raises UserError when the path cannot be written; then nothing has changed.
    """
    data = dumps(program, coder)
    disk.write(path, data)
    return len(data)


def load(path: str | os.PathLike[str], max_values: int = MAX_VALUES) -> Program:
    """The program in the file at `path`; see `loads`. Raises FileError, which names the path."""
    try:
        return loads(read(path, max_values), max_values)
    except FileError as error:
        raise error.placed(path=os.fsdecode(path)) from None


def read(path: str | os.PathLike[str], max_values: int = MAX_VALUES) -> bytes:
    """The bytes of a file, unless it is longer than any that holds `max_values` integers.

    Of a file that is not lowbit's only the first bytes, by which `loads` and `account` refuse it.
    """
    most = 9 * max_values + _PROGRAM
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # opening a pipe would wait for its writer, a device has no end
            raise OSError(None, "it is not a regular file")
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size  # to read so much takes memory for so much at once
            head = file.read(len(MAGIC))
            data = head + file.read(min(size, most) + 1 - len(head)) if head == MAGIC else head
    except (OSError, ValueError) as error:
        why = disk.reason(error)
        raise FileError("the file cannot be read", path=os.fsdecode(path), why=why, fix="check it") from None
    if len(data) > most:
        raise FileError("the file is too long", path=os.fsdecode(path), fix="raise max_values if you trust the file")
    return data
