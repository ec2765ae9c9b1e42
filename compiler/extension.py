"""Extensions in C: optional, and used only where they were compiled from the sources that are here."""

from __future__ import annotations

import importlib
from typing import Any


def extension(name: str, interface: int) -> tuple[Any, bool]:
    """The module of that name, or None; and whether one is there that does not fit.

    interface: what its INTERFACE must be: one of other sources would take other arguments, or compute otherwise.
    """
    try:
        found = importlib.import_module(name)
    except ImportError:  # there was no compiler at installation
        return None, False
    fits = getattr(found, "INTERFACE", None) == interface
    return (found if fits else None), not fits
