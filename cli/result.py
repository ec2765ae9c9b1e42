"""What `compile` shows at its end: measured on the program in the file, by the task's own measure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..compiler.registry import names
from .catalog import TARGETS
from .render import Screen, Work

if TYPE_CHECKING:
    from ..backends.compiled import Compiled
    from ..compilation import Report
    from ..compiler.task import Task
    from ..compiler.training import Data

COMPARED = 8
"""Test samples on which every intermediate tensor is compared; the interpreter counts on Python integers."""
INTERPRETER = "interpreter"
"""The target that is too slow for a whole test set."""


def measure(
    path: str, size: int, report: Report, data: Data, task: Task, work: Work
) -> tuple[list[tuple[str, str]], bool]:
    """The rows of the result, measured on the program in the file, and whether all targets agree on it."""
    from .. import api
    from ..backends.compiled import zeros
    from ..compilation import measured

    compiled = api.load(path)
    rows = [
        (f"float {task.measure}", task.shown(report.float_score)),
        (f"fake-quant {task.measure}", task.shown(report.prepared_score)),
    ]
    for target in sorted(set(names(TARGETS)) - {INTERPRETER}):
        work(f"measuring the integer program with {target}")
        rows.append((f"integer {task.measure}, {target}", task.shown(measured(compiled, data, target, task))))
    none, weights = zeros(compiled.program)
    rows += [
        ("file", f"{size:,} bytes"),
        ("float32 weights / file", f"{4 * report.parameters / size:.1f}"),
        ("zeros", f"{100 * none / max(1, weights):.2f} % ({none:,} of {weights:,} weights)"),
    ]
    work("comparing every intermediate tensor")
    verdict, equal = _verdict(compiled, data)
    return [*rows, ("bit-exact", verdict)], equal


def _verdict(compiled: Compiled, data: Data) -> tuple[str, bool]:
    """Whether all targets compute the same integers on some test samples, in words and as a truth value."""
    from .. import api
    from ..compiler.training import batches

    samples = next(iter(batches(data.test, COMPARED)))[0]
    comparisons = [c for c in api.check(compiled, *compiled.quantize(samples)) if not c.unavailable]
    for comparison in comparisons:
        if comparison.difference:
            return f"no: {comparison.target} differs at {comparison.difference}", False
    agreed, values = ", ".join([INTERPRETER, *(c.target for c in comparisons)]), max(c.values for c in comparisons)
    return f"yes ({agreed} agree on all {values} tensors of {len(samples)} samples)", True


def ledger(screen: Screen, report: Report) -> None:
    """What each pass touched."""
    rows = [
        (
            entry.use.name,
            entry.fired,
            ", ".join(f"'{pattern}' {count}" for pattern, count in entry.matched.items()),
            entry.idle,
        )
        for entry in report.ledger
    ]
    screen.table(("pass", "touched", "layers matched", "why none"), rows)
    screen.text("")
