"""Files that are written whole or not at all, and a look beforehand at whether they can be."""

from __future__ import annotations

import contextlib
import functools
import os
import secrets
import stat
import tempfile
from pathlib import Path

from .errors import UserError


def check_writable(path: str | os.PathLike[str]) -> None:
    """Raise UserError where `write` would fail: to be asked before hours of work, not after. Nothing is left behind."""
    try:
        target = _target(path)
        with tempfile.TemporaryFile(dir=target.parent):
            pass
        with contextlib.suppress(FileNotFoundError):
            os.lstat(target)  # a name that is too long is an error even where there is no such file
    except (OSError, ValueError) as error:
        raise _unwritable(path, error) from None


def write(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file; what was there stays until the new one is whole. Raises UserError, and then nothing has changed."""
    try:
        _replace(_target(path), data)
    except (OSError, ValueError) as error:
        raise _unwritable(path, error) from None


def _target(path: str | os.PathLike[str]) -> Path:
    target = Path(os.path.realpath(path))  # a link stays a link
    if target.exists() and not target.is_file():
        raise FileExistsError(None, "it is there already and is not a file")  # a device must not be replaced
    if os.path.basename(path) in ("", "."):  # realpath has dropped what made it a folder
        raise IsADirectoryError(None, "it ends as the path of a folder does")
    return target


def _replace(target: Path, data: bytes) -> None:
    # Without the target's name, which may be as long as names get.
    draft = target.with_name(f".lowbit.{secrets.token_hex(4)}")
    try:
        kept = stat.S_IMODE(target.stat().st_mode) if target.exists() else None
        with open(draft, "xb", opener=functools.partial(os.open, mode=0o666 if kept is None else kept)) as file:
            if kept is not None:
                os.chmod(draft, kept)  # who may read what was there may read what comes, and nobody else
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, target)
    except BaseException:  # an interrupt leaves no draft behind either
        with contextlib.suppress(OSError):
            draft.unlink()
        raise


def _unwritable(path: str | os.PathLike[str], error: OSError | ValueError) -> UserError:
    return UserError("the file cannot be written", where=os.fspath(path), why=reason(error), fix="choose another path")


def reason(error: OSError | ValueError) -> str:
    """Why a file could not be opened; a ValueError is a zero byte in its path."""
    return getattr(error, "strerror", None) or str(error)
