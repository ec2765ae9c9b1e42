"""lowbit: compile any PyTorch module into a small, exact, integer-only program."""

from .api import Effort, Report, calibrate, compile, load, lower, passes, prepare, recipe, recipes
from .backends.compiled import Compiled
from .compiler.errors import Broken, LowbitError, Unsupported, UserError
from .compiler.prepared import Prepared
from .compiler.recipe import Recipe
from .compiler.training import Data, Plan, Progress

__all__ = [
    "Broken",
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
    "compile",
    "load",
    "lower",
    "passes",
    "prepare",
    "recipe",
    "recipes",
]
