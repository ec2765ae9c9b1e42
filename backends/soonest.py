"""Which target runs a program soonest: compiled C once the program has run often enough to pay for it, else torch."""

from __future__ import annotations

from collections.abc import Sequence
from weakref import WeakKeyDictionary

from ..compiler.arrays import Integers
from ..compiler.errors import Unsupported
from .fixed.macs import macs
from .fixed.program import Program
from .target import Target, targets

AT_ONCE, BUILT = "torch", "c99"
PAYS = 5 * 10**9
"""Multiply-accumulates after which it is built: about as many as torch computes while a compiler builds a network."""
CALL = 2 * 10**7
"""What a call counts for at least: torch takes milliseconds for the smallest."""
_done: WeakKeyDictionary[Program, int] = WeakKeyDictionary()
_refused: WeakKeyDictionary[Program, str] = WeakKeyDictionary()


def run(program: Program, inputs: Sequence[Integers]) -> list[Integers]:
    """The outputs of the program; which target computes them changes only the time it takes."""
    if _pays(program, len(inputs[0]) if inputs and inputs[0].ndim else 0):
        try:
            return targets()[BUILT].run(program, inputs)
        except Unsupported as error:
            _refused[program] = str(error)
    return targets()[AT_ONCE].run(program, inputs)


def ready(program: Program) -> Target | None:
    """The target that is built, if the program has paid for that."""
    return targets()[BUILT] if _done.get(program, 0) >= PAYS and program not in _refused else None


def _pays(program: Program, samples: int) -> bool:
    if program in _refused or targets()[BUILT].available():
        return False
    work = sum(macs(program, step) for step in program.steps) * samples
    _done[program] = _done.get(program, 0) + max(work, CALL)
    return _done[program] >= PAYS
