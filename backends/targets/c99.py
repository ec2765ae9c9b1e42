"""Compiled C, the fastest here: the file of `lowbit emit`, made once by the system's compiler and kept in the cache."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from ...compiler.arrays import Floats, Integers
from ..c99 import compiler
from ..c99.host import Hosted, hosted
from ..c99.unit import unit
from ..c99.variants import MACROS
from ..fixed.program import Program
from ..target import Target, Watch

NAME = "lowbit"
_fast: WeakKeyDictionary[Program, Hosted] = WeakKeyDictionary()
_whole: WeakKeyDictionary[Program, Hosted] = WeakKeyDictionary()


def _execute(program: Program, inputs: Sequence[Integers], watch: Watch | None) -> list[Integers]:
    """The outputs; what is watched comes from a second library that keeps every value."""
    if program not in _fast:
        _fast[program] = hosted([unit(program, NAME, variants=(_best(),))])[0]
    if watch is not None:
        if program not in _whole:
            _whole[program] = hosted([unit(program, NAME, whole=True, variants=(_best(),))])[0]
        _whole[program].watched(inputs, watch)
    return _fast[program](inputs)


def _best() -> str:
    """The last of the macros that kernels are written for, of those that the compiler defines here."""
    defined = compiler.macros(compiler.FAST)
    return [macro for macro in MACROS if not macro or macro in defined][-1]


def _real(program: Program, inputs: Sequence[np.ndarray[Any, Any]]) -> list[Floats] | None:
    """Both ends in C too, once the program was built."""
    made = _fast.get(program)
    return None if made is None else made.real(inputs)


TARGET = Target(_execute, compiler.reason, builds=True, real=_real)
