"""Small modules that exercise one difficulty each; most are the forward of a module, named for the difficulty."""

from . import choices, drops, forms, layers, modes, recurrent, shapes, state, traps
from .made import ROWS as ROWS

__all__ = ["ROWS", "choices", "drops", "forms", "layers", "modes", "recurrent", "shapes", "state", "traps"]
