"""compile: train a model under a recipe and write it as one integer-only file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .. import source
from ..options import WithPasses, coder_option, training_options
from ..render import Screen
from ..training import effort, seed_all, use_threads

if TYPE_CHECKING:
    from ...integrations.tensorboard import Log


@click.command(cls=WithPasses)
@click.argument("model", metavar="SOURCE")
@click.option("--recipe", required=True, metavar="RECIPE", help="A shipped recipe, or a TOML file.")
@click.option("--data", required=True, metavar="DATA", help="'digits', or a factory of lowbit.Data or a Dataset.")
@click.option("--test-data", metavar="DATA", help="What to judge by, where DATA is a Dataset and not a lowbit.Data.")
@click.option("--set", "given", multiple=True, metavar="PASS.OPTION=VALUE", help="An option of the recipe, set anew.")
@click.option("--weights", metavar="FILE", help="Weights to begin with: .safetensors, .pt, .pth. No code in it is run.")
@click.option("-o", "--output", required=True, metavar="FILE", help="The .lowbit file to write.")
@coder_option
@training_options
@click.pass_obj
def compile(screen: Screen, /, **given: Any) -> int:
    """Train SOURCE under a recipe, lower it to integers and write FILE.

    SOURCE is package.module:factory or file.py:factory, with the factory's arguments behind a question mark;
    timm:NAME, torchvision:NAME or transformers:CONFIG of an installed package, of which nothing is downloaded; or a
    .pt2 of torch.export.save. Naming a Python file or a package runs it, and opening a .pt2 may run code that it hides.
    RECIPE may use passes of other packages, as module:attribute: to read it imports those modules.

    The model is trained in float first, then under the recipe, for TASK. The table at the end is of the program as it
    was read back from FILE. A run with --checkpoint that was stopped, by Ctrl-C or in any other way, goes on where it
    was when the same command is given again, and ends in the same file.

    \b
    Examples:
      lowbit compile lowbit.cli.demo:digits_net --recipe choi2020 --data digits -o digits.lowbit
      lowbit compile 'net.py:make?width=32&bias=false' --recipe mine.toml --data net.py:data -o net.lowbit
      lowbit compile net.py:make --recipe mine.toml --set insert_fake_quant.weight_bits=4 --data net.py:data -o 4.lowbit
      lowbit compile net.py:make --weights net.pt --float-epochs 0 --recipe mine.toml --data net.py:data -o net.lowbit
      lowbit compile sr.py:make --task 'super_resolution?border=2' --recipe mine.toml --data sr.py:data -o sr.lowbit
      lowbit compile net.py:make --recipe mine.toml --data net.py:data --checkpoint net.ckpt -o net.lowbit
    """
    return _compiled(screen, **given)


def _compiled(
    screen: Screen, model: str, recipe: str, data: str, test_data: str | None, given: tuple[str, ...],
    weights: str | None, output: str, coder: str | None, threads: int | None, seed: int, log: str | None,
    **training: Any,
) -> int:  # fmt: skip
    from ...compiler.disk import check_writable

    check_writable(output)
    with screen.work() as work:
        work("loading torch")
        from ... import api, compilation
        from ...compiler.settings import override
        from ..live import Live
        from ..result import ledger, measure

        chosen = override(api.read_recipe(recipe), given)
        plan = effort(output, seed, **training)
        seed_all(seed)
        module, sets = source.model(model, seed, weights), source.data(data, test_data)
        use_threads(threads, module)
        with _logged(log) as told:
            report = compilation.compile(module, sets, chosen, plan, Live(work, told))
        size = report.compiled.save(output, coder)
        rows, equal = measure(output, size, report, sets, plan.task, work)
    ledger(screen, report)
    screen.table(("", ""), rows)
    return 0 if equal else 1


@contextmanager
def _logged(folder: str | None) -> Iterator[Log | None]:
    """A log for TensorBoard, where a folder is named for it."""
    if folder is None:
        yield None
        return
    from ...integrations.tensorboard import Log

    log = Log(Path(folder))
    try:
        yield log
    finally:
        log.close()
