"""The arguments behind the `?` of a SOURCE, such as width=32&act=relu&bias=false, as Python values."""

from __future__ import annotations

import ast
import warnings
from typing import Any
from urllib.parse import unquote

from ...compiler.errors import UserError

FIX = "write NAME=VALUE, with & between them: factory?width=32&act=relu"
_WORDS = {"true": True, "false": False, "none": None}


def arguments(query: str) -> dict[str, Any]:
    """Name -> value of each argument, in order.

    A value is a Python literal where it reads as one; true, false and none in any case; otherwise the text itself.
    %26 is an &, and so on: percent signs before two hexadecimal digits are decoded as in any address.
    Raises UserError for what has no name or no `=`, and for a name given twice.
    """
    found: dict[str, Any] = {}
    for part in query.split("&") if query else ():
        name, equals, text = part.partition("=")
        name = unquote(name)
        if not equals:
            raise UserError(f"the argument '{part}' has no value", fix=FIX)
        if not name.isidentifier():
            raise UserError(f"'{name}' is not the name of an argument", fix=FIX)
        if name in found:
            raise UserError(f"the argument '{name}' is given twice", fix="give it once")
        found[name] = value(unquote(text))
    return found


def value(text: str) -> Any:
    """The value that a text stands for; quotes make it a string whatever it looks like."""
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Python's, of odd spellings such as 1if
            return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return text
