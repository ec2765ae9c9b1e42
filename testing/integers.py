"""Integer programs of two graphs, run on the same drawn integers: what passes on frozen graphs are held to."""

from __future__ import annotations

import numpy as np

from ..backends.compiled import Compiled
from ..backends.fixed.program import Program
from ..backends.lowering.lower import lower
from ..compiler.arrays import Integers
from ..compiler.errors import Unsupported
from ..compiler.graph import Graph

SAMPLES = 16


def same_integers(old: Graph, new: Graph) -> None:
    """The programs of both give the same integers, on the same scales; where the old one has none, neither has the new.

    Half of the inputs are drawn from all of their range, the others lie at its ends.
    """
    programs = [_program(graph) for graph in (old, new)]
    if programs[0] is None:
        return
    assert programs[1] is not None, "what had an integer form has none any more"
    before, after = (Compiled(program) for program in programs if program is not None)
    assert [port.scale for port in before.program.outputs] == [port.scale for port in after.program.outputs]
    inputs = _inputs(before.program)
    for ours, theirs in zip(
        after.run_integers(*inputs, target="numpy"), before.run_integers(*inputs, target="numpy"), strict=True
    ):
        assert np.array_equal(ours, theirs), "an integer of an output is another"


def _program(graph: Graph) -> Program | None:
    try:
        return lower(graph)
    except Unsupported:
        return None


def _inputs(program: Program) -> list[Integers]:
    random = np.random.default_rng(0)
    drawn = []
    for port in program.inputs:
        value = program.values[port.value]
        lo, hi = value.range.lo, value.range.hi
        anywhere = random.integers(lo, hi + 1, (SAMPLES // 2, *value.shape))
        drawn.append(np.concatenate([anywhere, random.choice([lo, hi], (SAMPLES // 2, *value.shape))]))
    return drawn
