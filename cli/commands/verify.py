"""verify: float model, prepared model and integer program beside each other, node by node."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from ...compiler.errors import UserError
from .. import source
from ..options import WithPasses, plan_options
from ..render import Screen, Work
from ..training import effort, seed_all, use_threads
from ..verified import columns, rows, summary

if TYPE_CHECKING:
    from torch import Tensor
    from torch.utils.data import Dataset

    from ...backends.verification.report import Verification
    from ...compiler.prepared import Prepared
    from ...compiler.training import Data, Progress

JSON_VERSION = 1
"""Of the JSON that is written; a key that changes its meaning or goes away makes it a new one."""
BATCH = 16
"""Samples that run at once; all values of a batch are held."""


@click.command(cls=WithPasses)
@click.argument("model", metavar="SOURCE")
@click.argument("file", metavar="FILE")
@click.option("--recipe", required=True, metavar="RECIPE", help="The recipe that FILE was made by.")
@click.option("--data", required=True, metavar="DATA", help="The data that FILE was made with; see `lowbit compile`.")
@click.option("--test-data", metavar="DATA", help="What to compare on, where DATA is a Dataset and not a lowbit.Data.")
@click.option("--set", "given", multiple=True, metavar="PASS.OPTION=VALUE", help="As FILE was made with.")
@click.option("--weights", metavar="FILE", help="As FILE was made with. No code in it is run.")
@click.option("--checkpoint", metavar="FILE", help="What `lowbit compile --checkpoint` kept; nothing is trained here.")
@plan_options
@click.option("--samples", type=click.IntRange(1), default=1000, show_default=True, help="Of the test data.")
@click.option(
    "--different",
    type=click.FloatRange(0, 100),
    default=0.01,
    show_default=True,
    metavar="PERCENT",
    help="Codes that may differ, each node fed the same.",
)
@click.option("--distance", type=click.IntRange(0), default=1, show_default=True, help="By how much at most.")
@click.option(
    "--agreement",
    type=click.FloatRange(0, 100),
    default=99.9,
    show_default=True,
    metavar="PERCENT",
    help="Samples whose highest score must be the same.",
)
@click.option("--format", "form", type=click.Choice(("table", "json")), default="table", show_default=True)
@click.pass_obj
def verify(screen: Screen, /, form: str, **given: Any) -> int:
    """Compare the float model, the fake-quantized one and the program in FILE at every node, on test data.

    SOURCE, RECIPE, DATA and the other options are those that `lowbit compile` was given. The prepared model is made
    from them again, without training: from the checkpoint that compile kept, or, for a model that comes trained and a
    post-training recipe, by calibrating anew. What it becomes must be the program in FILE.

    For each value that a grid rounds: the error of the program beside the model without rounding, in the model's own
    numbers, and as signal to quantization noise in dB; the codes of the prepared model and of the program that differ
    where each node is fed the program's integers, and by how much; the same end to end. Exit code 1 where more codes
    differ than may, or the first bad node is named; with power-of-two scales not one may.

    \b
    Examples:
      lowbit verify lowbit.cli.demo:digits_net digits.lowbit --recipe choi2020 --data digits --checkpoint digits.ckpt
      lowbit verify net.py:make net.lowbit --weights net.pt --recipe ptq8 --data net.py:data --float-epochs 0
      lowbit verify net.py:make net.lowbit --recipe ptq8 --data net.py:data --float-epochs 0 --format json
    """
    with screen.work() as work:
        found = _verified(work, **given)
    if form == "json":
        from ...backends.verification.report import described

        screen.json({"version": JSON_VERSION, **described(found)})
    else:
        screen.table(columns(), rows(found))
        screen.text("")
        screen.table(("", ""), summary(found))
    return 0 if found.holds else 1


def _verified(
    work: Work, model: str, file: str, recipe: str, data: str, test_data: str | None, given: tuple[str, ...],
    weights: str | None, checkpoint: str | None, threads: int | None, seed: int, samples: int, different: float,
    distance: int, agreement: float, **plan: Any,
) -> Verification:  # fmt: skip
    work("loading torch")
    from ... import api
    from ...backends.verification.report import Contract
    from ...compiler.settings import override
    from ...compiler.training.data import length

    compiled = api.load(file)
    if checkpoint is not None and not os.path.exists(checkpoint):
        raise UserError(f"there is no checkpoint '{checkpoint}'", fix="name what `lowbit compile --checkpoint` kept")
    chosen = override(api.read_recipe(recipe), given)
    plans = effort(file, seed, checkpoint=checkpoint, **plan)
    seed_all(seed)
    module, sets = source.model(model, seed, weights), source.data(data, test_data)
    use_threads(threads, module)
    prepared = _prepared(work, module, sets, chosen, plans)
    contract, count = Contract(different / 100, distance, agreement / 100), min(samples, length(sets.test))
    return api.verify(
        prepared,
        _first(sets.test, count),
        compiled,
        contract=contract,
        report=lambda done: work("comparing node by node", done, count),
    )


def _prepared(work: Work, module: Any, sets: Data, recipe: Any, plans: Any) -> Prepared:
    """The model as `compile` would lower it. Raises UserError where that takes training."""
    from ... import compilation

    def told(stage: str, at: Progress | None) -> None:
        if at is not None:
            fix = (
                "give the --checkpoint that `lowbit compile` kept, with its other options; for a model that comes"
                " trained --float-epochs 0, and a post-training recipe or --epochs 0"
            )
            raise UserError("the model would have to be trained", where=stage, why="verify only compares", fix=fix)
        work(stage)

    return compilation.trained(module, sets, recipe, plans, told)[0]


def _first(dataset: Dataset[Any], samples: int) -> Iterator[Tensor]:
    """The inputs of the first samples, in batches."""
    from ...compiler.training import batches

    for x, _ in batches(dataset, BATCH):
        yield x[:samples]
        samples -= len(x)
        if samples <= 0:
            return
