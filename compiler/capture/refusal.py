"""Why a module cannot be captured: the user's line, the cause in one sentence, and the usual way round."""

from __future__ import annotations

import os
import traceback
from collections.abc import Sequence

import torch
from torch.fx.experimental.symbolic_shapes import GuardOnDataDependentSymNode

from ..errors import UserError

TORCH = os.path.dirname(torch.__file__) + os.sep
_LOWBIT = os.path.dirname(os.path.dirname(__file__)) + os.sep


def refusal(error: Exception, shapes: Sequence[tuple[int, ...]]) -> UserError:
    """The user's line and the cause, in one sentence, of a failed export. Lines of generated code are in no file."""
    frames = traceback.extract_tb(error.__traceback__)
    user = [frame for frame in frames if not frame.filename.startswith((TORCH, _LOWBIT, "<"))]
    where = f"{user[-1].filename}:{user[-1].lineno}  {user[-1].line}" if user else ""
    first = str(error).strip().split("\n")[0]
    if isinstance(error, GuardOnDataDependentSymNode):
        why = f"a Python branch there depends on the values of a tensor ({first})"
        fix = "use torch.cond or torch.where, or move the branch out of the model"
    else:
        shown = ", ".join(map(str, shapes))
        why, fix = f"{type(error).__name__}: {first}", f"check that the module runs on inputs of shape {shown}"
    return UserError("the model cannot be captured", where=where, why=why, fix=fix)
