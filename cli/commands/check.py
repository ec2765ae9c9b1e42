"""check: every target against the interpreter, on every intermediate tensor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from .. import arrays
from ..render import Screen

if TYPE_CHECKING:
    from ... import Comparison, Compiled


@click.command()
@click.argument("file")
@click.option("--batch", type=click.IntRange(1), default=4, show_default=True, help="Number of drawn inputs.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the drawn inputs.")
@click.option("--input", "paths", multiple=True, metavar="X.npy", help="Inputs instead, in order, as for `lowbit run`.")
@click.pass_obj
def check(screen: Screen, file: str, batch: int, seed: int, paths: tuple[str, ...]) -> int:
    """Compare every target with the interpreter, bit for bit, on every tensor that the program in FILE computes.

    The inputs are drawn from the whole range that the program takes; the first is the least everywhere, the second the
    greatest, the third a mixture of both. The first step that differs is named, and the exit code is 1.

    \b
    Examples:
      lowbit check digits.lowbit
      lowbit check digits.lowbit --batch 32 --seed 1
      lowbit check digits.lowbit --input images.npy
    """
    from ... import api

    compiled = api.load(file)
    given = _integers(compiled, [arrays.read(path) for path in paths]) if paths else _drawn(compiled, batch, seed)
    with screen.work() as work:
        work("comparing every tensor; the interpreter counts on Python integers")
        comparisons = api.check(compiled, *given)
    rows = [(c.target, c.values, c.elements, _verdict(c)) for c in comparisons]
    screen.table(("target", "tensors", "integers", "beside the interpreter"), rows)
    return int(any(comparison.difference is not None for comparison in comparisons))


def _integers(compiled: Compiled, given: list[Any]) -> list[Any]:
    whole = all(array.dtype.kind in "iu" for array in given)
    return given if whole else compiled.quantize(*given)


def _drawn(compiled: Compiled, batch: int, seed: int) -> list[Any]:
    """Integers over the whole range of each input, its ends first."""
    import numpy as np

    random = np.random.default_rng(seed)
    drawn = []
    for port in compiled.program.inputs:
        value = compiled.program.values[port.value]
        lo, hi = value.range.lo, value.range.hi
        array = random.integers(lo, hi, (batch, *value.shape), endpoint=True)
        ends = [lo, hi, random.choice([lo, hi], value.shape)]
        for sample, end in zip(array, ends, strict=False):
            sample[...] = end
        drawn.append(array)
    return drawn


def _verdict(comparison: Comparison) -> str:
    if comparison.unavailable:
        return f"cannot run here: {comparison.unavailable}"
    return str(comparison.difference or "equal")
