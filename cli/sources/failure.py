"""An exception out of somebody else's code as an error of the user's, with the line of the user that led to it."""

from __future__ import annotations

import difflib
import inspect
import os
import sysconfig
import traceback
from collections.abc import Iterable
from typing import Any

from ...compiler.errors import LowbitError, UserError

LONGEST, WIDEST = 5, 300
"""Lines of somebody else's message, and characters of each."""
_OURS = os.path.dirname(__file__) + os.sep
_INSTALLED = tuple({sysconfig.get_path(kind) + os.sep for kind in ("stdlib", "purelib", "platlib")})


def failed(what: str, error: BaseException, fix: str = "") -> LowbitError:
    """The same failure as a UserError at the last line of code that is not installed, else at the last line of all."""
    if isinstance(error, LowbitError):
        return error
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _told(frame.filename)]
    own = [frame for frame in frames if not frame.filename.startswith(_INSTALLED)]
    last = (own or frames)[-1:]
    where = "".join(f"{frame.filename}:{frame.lineno}  {frame.line}" for frame in last)
    if isinstance(error, SyntaxError) and error.filename:  # the line that cannot be parsed is in no frame
        where = f"{error.filename}:{error.lineno}  {(error.text or '').strip()}"
    return UserError(what, where=where, why=f"{type(error).__name__}: {_short(str(error))}", fix=fix)


def _short(text: str) -> str:
    """As much as a screen has room for: some packages list all that they have."""
    return "\n".join(line[:WIDEST] for line in text.strip().split("\n")[:LONGEST])


def _told(file: str) -> bool:
    """Whether a frame's file tells the user anything: not the import machinery, not these files."""
    return not file.startswith(("<frozen", _OURS))


def takes(called: Any, name: str) -> str:
    """What a class or function takes: its signature without the types; `(...)` for one that is written in C."""
    try:
        signature = inspect.signature(called)
    except (TypeError, ValueError):
        return f"it is {name}(...)"
    bare = [one.replace(annotation=one.empty) for one in signature.parameters.values()]
    return f"it is {name}{inspect.Signature(bare)}"


def unknown(zoo: str, name: str, names: Iterable[str]) -> UserError:
    """The error of a name that a package does not have, with those that resemble it."""
    known = sorted(names)
    near = difflib.get_close_matches(name, known, 5) or [own for own in known if name.lower() in own.lower()][:5]
    shown = f"did you mean {', '.join(near)}?" if near else f"it has {len(known)}, such as {', '.join(known[:5])}"
    return UserError(f"{zoo} has no model '{name}'", fix=shown)
