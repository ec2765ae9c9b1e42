"""lowbit: compile any PyTorch module into a small, exact, integer-only program."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from .compiler.errors import Broken, LowbitError, Unsupported, UserError

if TYPE_CHECKING:
    from .api import (
        Effort,
        Report,
        calibrate,
        capture,
        capture_islands,
        check,
        compile,
        load,
        lower,
        measured,
        prepare,
        prepare_islands,
        read_recipe,
    )
    from .backends.check import Comparison
    from .backends.compiled import Compiled
    from .compiler.archipelago import Archipelago
    from .compiler.prepared import Prepared
    from .compiler.recipe import Recipe
    from .compiler.training import Data, Plan, Progress

__all__ = [
    "Archipelago",
    "Broken",
    "Comparison",
    "Compiled",
    "Data",
    "Effort",
    "LowbitError",
    "Plan",
    "Prepared",
    "Progress",
    "Recipe",
    "Report",
    "Unsupported",
    "UserError",
    "calibrate",
    "capture",
    "capture_islands",
    "check",
    "compile",
    "load",
    "lower",
    "measured",
    "prepare",
    "prepare_islands",
    "read_recipe",
]

if not TYPE_CHECKING:  # a checker would take any name for granted

    def __getattr__(name: str) -> object:
        """The other public names, all held by `api`: importing it takes seconds, and `lowbit --help` has no need."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(importlib.import_module(".api", __name__), name)
