"""run: an integer program on arrays from files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from ...compiler.errors import UserError
from ...compiler.registry import names
from .. import arrays
from ..catalog import TARGETS
from ..render import Screen

if TYPE_CHECKING:
    from ... import Compiled

CHOICES = ", ".join(names(TARGETS))


@click.command()
@click.argument("file")
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT.npy...")
@click.option("-o", "--output", "outputs", multiple=True, required=True, metavar="OUT.npy", help="One for each output.")
@click.option("--target", metavar="TARGET", help=f"One of: {CHOICES}.  [default: what is likely to be soonest]")
@click.pass_obj
def run(screen: Screen, file: str, inputs: Sequence[str], outputs: Sequence[str], target: str | None) -> None:
    """Run the program in FILE on arrays whose first axis is the batch.

    Arrays of floats are rounded to the grids of the program's inputs, and give float32. Arrays of integers are taken as
    being on those grids, and give the integers of the outputs. Each output is written whole or not at all.

    \b
    Examples:
      lowbit run digits.lowbit images.npy -o scores.npy
      lowbit run digits.lowbit images.npy -o scores.npy --target numpy
    """
    from ... import load
    from ...compiler import disk

    for path in outputs:
        disk.check_writable(path)
    given = [arrays.read(path) for path in inputs]
    compiled = load(file)
    wanted = len(compiled.program.outputs)
    if wanted != len(outputs):
        raise UserError(f"the program has {wanted} outputs, not {len(outputs)}", fix="give -o once for each")
    for path, result in zip(outputs, _results(compiled, given, target), strict=True):
        disk.write(path, arrays.dumped(result))


def _results(compiled: Compiled, given: Sequence[Any], target: str | None) -> Sequence[Any]:
    whole = [array.dtype.kind in "iu" for array in given]
    if any(whole) and not all(whole):
        raise UserError("some inputs hold integers and some do not", fix="make all of them floats, or all integers")
    run = compiled.run_integers if all(whole) else compiled.run
    return run(*given, target=target)
