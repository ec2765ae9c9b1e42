"""lowbit: compile any PyTorch module into a small, exact, integer-only program."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from .compiler.errors import Broken, LowbitError, Unsupported, UserError

if TYPE_CHECKING:
    from .api import (
        calibrate,
        capture,
        capture_islands,
        check,
        load,
        lower,
        prepare,
        prepare_islands,
        read_recipe,
        verify,
    )
    from .backends.check import Comparison
    from .backends.compiled import Compiled
    from .backends.verification.report import Contract, Verification
    from .compilation import Effort, Report, compile, measured
    from .compiler.archipelago import Archipelago
    from .compiler.checkpoint import Checkpoint
    from .compiler.prepared import Prepared
    from .compiler.recipe import Recipe
    from .compiler.task import Task, task
    from .compiler.training import Data, Plan, Progress, train

__all__ = [
    "Archipelago",
    "Broken",
    "Checkpoint",
    "Comparison",
    "Compiled",
    "Contract",
    "Data",
    "Effort",
    "LowbitError",
    "Plan",
    "Prepared",
    "Progress",
    "Recipe",
    "Report",
    "Task",
    "Unsupported",
    "UserError",
    "Verification",
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
    "task",
    "train",
    "verify",
]

_ELSEWHERE = {
    ".compilation": ("Effort", "Report", "compile", "measured"),
    ".compiler.checkpoint": ("Checkpoint",),
    ".compiler.task": ("Task", "task"),
    ".compiler.training": ("Data", "Plan", "Progress", "train"),
}
"""The public names that `api` does not hold, by the module that does."""

if not TYPE_CHECKING:  # a checker would take any name for granted

    def __getattr__(name: str) -> object:
        """The public names are imported when asked for: it takes seconds, and `lowbit --help` has no need."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        home = next((module for module, names in _ELSEWHERE.items() if name in names), ".api")
        return getattr(importlib.import_module(home, __name__), name)
