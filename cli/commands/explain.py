"""explain: what the rules of a recipe made of a node, and why not more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from .. import stages
from ..render import Screen

if TYPE_CHECKING:
    from ...compiler.graph import Graph
    from ...compiler.inspection.choice import Chosen
    from ...compiler.inspection.explain import Record

JSON_VERSION = 1
"""Of the JSON that is written; a key that changes its meaning or goes away makes it a new one."""


@click.command()
@click.argument("target", metavar="SOURCE")
@click.argument("node", metavar="NODE")
@stages.options
@click.option(
    "--stage", type=click.Choice((stages.CAPTURED, stages.PREPARED)), default=stages.CAPTURED, show_default=True,
    help="Whose numbers NODE is one of.",
)  # fmt: skip
@click.option("--format", "form", type=click.Choice(("table", "json")), default="table", show_default=True)
@click.pass_obj
def explain(
    screen: Screen, target: str, node: str, recipe: str | None, inputs: Sequence[stages.Input], data: str | None,
    weights: str | None, stage: str, form: str,
) -> None:  # fmt: skip
    """Explain which rules of the recipe looked at NODE of SOURCE, and why each fired or did not.

    NODE is a name such as conv2d_1, a number as `lowbit show --nodes` prints it, a parameter, a module path with all
    below it, a pattern of paths such as 'layer1.*', or net.py:12 for all that a line of yours computes. What takes the
    place of a node is followed to the end, where its lowering rule is told. A model need not be one that can be
    lowered. Many nodes share a row where they were told the same; JSON has each.

    The answers are: fired; refused, a rule fitted and its guard said no; did not fit; never looked, the rule is for
    other calls; dropped, no output needs the node; and of the lowering integer, folded or unsupported.
    Nothing is trained here. Naming a Python file as SOURCE runs it.

    \b
    Examples:
      lowbit explain lowbit.cli.demo:digits_net conv2d_1 --input 1,8,8 --recipe choi2020
      lowbit explain net.py:make layer1.0.conv1 --input 3,32,32 --recipe mine.toml
      lowbit explain net.py:make 'layer1.*' --input 3,32,32 --recipe choi2020 --format json
      lowbit explain net.py:make net.py:12 --input 3,32,32 --recipe choi2020
      lowbit explain net.py:make %48 --stage prepared --input 3,32,32 --recipe choi2020
    """
    if recipe is None:
        raise click.UsageError("the rules are those of a recipe: give --recipe; `lowbit recipes` lists them")
    from .. import explained

    with screen.work() as work:
        work("capturing")
        example = stages.example(inputs, data)
        captured = stages.captured(target, example, weights, recipe)
        work("trying every rule")
        record = _recorded(captured, recipe, example)
        told = explained.tell(record, _chosen(record, node, stage))
    if form == "json":
        screen.json({"version": JSON_VERSION, **explained.described(told)})
        return
    screen.table(*explained.table(told), title=explained.title(told))
    if captured.twin is not None:
        screen.text("eval mode of this model is a graph of its own: the nodes are those of that, which is lowered")


def _recorded(captured: Graph, recipe: str, example: Sequence[Any]) -> Record:
    from ... import api
    from ...compiler.calibrate import calibrate
    from ...compiler.inspection.explain import record

    return record(captured, api.read_recipe(recipe), stages.STEPS, lambda graph: calibrate(graph, [list(example)]))


def _chosen(record: Record, node: str, stage: str) -> Chosen:
    from ...compiler.inspection.choice import choose

    prepares = sum(ran.stage == "prepare" for ran in record.ran)
    return choose(record.graphs, node, prepares if stage == stages.PREPARED else 0)
