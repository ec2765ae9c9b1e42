"""The `.lowbit` file: one fixed-point program, its weights entropy-coded, checked from the first byte to the last."""

from ..wire import FileError
from .files import load, read, save
from .limits import MAX_VALUES
from .reader import Entry, account, loads
from .writer import dumps

__all__ = ["MAX_VALUES", "Entry", "FileError", "account", "dumps", "load", "loads", "read", "save"]
