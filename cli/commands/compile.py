"""compile: train a model under a recipe and write it as one integer-only file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ...compiler.registry import names
from .. import source
from ..catalog import TARGETS
from ..options import WithPasses
from ..render import Screen, Work

if TYPE_CHECKING:
    from torch import nn

    from ...api import Report
    from ...backends.compiled import Compiled
    from ...compiler.training import Data, Progress

COMPARED = 8
"""Test samples on which every intermediate tensor is compared; the interpreter counts on Python integers."""

INTERPRETER = "interpreter"
"""The target that is too slow for a whole test set."""
SMALL = 1_000_000
"""Parameters below which the threads of a step mostly wait for each other."""


@click.command(cls=WithPasses)
@click.argument("model", metavar="SOURCE")
@click.option("--recipe", required=True, metavar="RECIPE", help="A shipped recipe, or a TOML file.")
@click.option("--data", required=True, metavar="DATA", help="'digits', or a factory of lowbit.Data, like SOURCE.")
@click.option("--set", "given", multiple=True, metavar="PASS.OPTION=VALUE", help="An option of the recipe, set anew.")
@click.option("--weights", metavar="FILE", help="Weights to begin with: .safetensors, .pt, .pth. No code in it is run.")
@click.option("-o", "--output", required=True, metavar="FILE", help="The .lowbit file to write.")
@click.option("--float-epochs", type=click.IntRange(0), default=30, show_default=True, help="Epochs in float; 0: none.")
@click.option("--epochs", type=click.IntRange(0), default=40, show_default=True, help="Epochs under the recipe.")
@click.option("--batch-size", type=click.IntRange(1), default=64, show_default=True, help="Samples in a step.")
@click.option("--lr", type=click.FloatRange(0, min_open=True), default=1e-3, show_default=True, help="Learning rate.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of weights, order and dropout.")
@click.option("--threads", type=click.IntRange(1), help="CPU threads. Default: 1 below a million parameters, else all.")
@click.pass_obj
def compile(
    screen: Screen, model: str, recipe: str, data: str, given: tuple[str, ...], weights: str | None, output: str,
    float_epochs: int, epochs: int, batch_size: int, lr: float, seed: int, threads: int | None,
) -> int:  # fmt: skip
    """Train SOURCE under a recipe, lower it to integers and write FILE.

    SOURCE is package.module:factory or file.py:factory, with the factory's arguments behind a question mark;
    timm:NAME, torchvision:NAME or transformers:CONFIG of an installed package, of which nothing is downloaded; or a
    .pt2 of torch.export.save. Naming a Python file or a package runs it, and opening a .pt2 may run code that it hides.
    RECIPE may use passes of other packages, as module:attribute: to read it imports those modules.

    The model is trained in float first, then under the recipe. The table at the end is of the program as it was read
    back from FILE.

    \b
    Examples:
      lowbit compile lowbit.cli.demo:digits_net --recipe choi2020 --data digits -o digits.lowbit
      lowbit compile 'net.py:make?width=32&bias=false' --recipe mine.toml --data net.py:data -o net.lowbit
      lowbit compile net.py:make --recipe mine.toml --set insert_fake_quant.weight_bits=4 --data net.py:data -o 4.lowbit
      lowbit compile net.py:make --weights net.pt --float-epochs 0 --recipe mine.toml --data net.py:data -o net.lowbit
    """
    from ...compiler.disk import check_writable

    check_writable(output)
    with screen.work() as work:
        work("loading torch")
        from ... import api
        from ...compiler.settings import override
        from ...compiler.training import Plan

        chosen = override(api.read_recipe(recipe), given)
        effort = api.Effort(*(Plan(count, batch_size, lr, seed=seed) for count in (float_epochs, epochs)))
        module, task = source.model(model, seed, weights), source.data(data)
        _use(threads, module)
        report = api.compile(module, task, chosen, effort, lambda stage, at: _tell(work, stage, at))
        size = report.compiled.save(output)
        rows, equal = _measure(output, size, report, task, work)
    _ledger(screen, report)
    screen.table(("", ""), rows)
    return 0 if equal else 1


def _use(threads: int | None, module: nn.Module) -> None:
    """Threads by the user's word, or by the model alone: their number may change the last bits of a sum."""
    import torch

    small = sum(parameter.numel() for parameter in module.parameters()) < SMALL
    if threads or small:
        torch.set_num_threads(threads or 1)


def _tell(work: Work, stage: str, at: Progress | None) -> None:
    if at is None:
        work(stage)
    else:
        work(stage, at.step, at.steps, f"loss {at.loss:.4f}  penalty {at.penalty:.4f}")


def _measure(path: str, size: int, report: Report, task: Data, work: Work) -> tuple[list[tuple[str, str]], bool]:
    """The rows of the result, measured on the program in the file, and whether all targets agree on it."""
    from ... import api
    from ...backends.compiled import zeros

    compiled = api.load(path)
    rows = [
        ("float accuracy", _percent(report.float_accuracy)),
        ("fake-quant accuracy", _percent(report.prepared_accuracy)),
    ]
    for target in sorted(set(names(TARGETS)) - {INTERPRETER}):
        work(f"measuring the integer program with {target}")
        rows.append((f"integer accuracy, {target}", _percent(api.measured(compiled, task, target))))
    none, weights = zeros(compiled.program)
    rows += [
        ("file", f"{size:,} bytes"),
        ("float32 weights / file", f"{4 * report.parameters / size:.1f}"),
        ("zeros", f"{_percent(none / max(1, weights))} ({none:,} of {weights:,} weights)"),
    ]
    work("comparing every intermediate tensor")
    verdict, equal = _verdict(compiled, task)
    return [*rows, ("bit-exact", verdict)], equal


def _verdict(compiled: Compiled, task: Data) -> tuple[str, bool]:
    """Whether all targets compute the same integers on some test samples, in words and as a truth value."""
    from ... import api
    from ...compiler.training import batches

    samples = next(iter(batches(task.test, COMPARED)))[0]
    comparisons = [c for c in api.check(compiled, *compiled.quantize(samples)) if not c.unavailable]
    for comparison in comparisons:
        if comparison.difference:
            return f"no: {comparison.target} differs at {comparison.difference}", False
    agreed, values = ", ".join([INTERPRETER, *(c.target for c in comparisons)]), max(c.values for c in comparisons)
    return f"yes ({agreed} agree on all {values} tensors of {len(samples)} samples)", True


def _ledger(screen: Screen, report: Report) -> None:
    rows = [
        (
            entry.use.name,
            entry.fired,
            ", ".join(f"'{pattern}' {count}" for pattern, count in entry.matched.items()),
        )
        for entry in report.ledger
    ]
    screen.table(("pass", "touched", "layers matched"), rows)
    screen.text("")


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %"
