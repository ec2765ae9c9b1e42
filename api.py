"""The front door: prepare, calibrate, lower, load, check, verify. The only file that joins passes and backends."""

from __future__ import annotations

import copy
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from .backends import blob
from .backends.check import Comparison, compare
from .backends.compiled import Compiled
from .backends.fixed.text import difference
from .backends.lowering.heirs import marked
from .backends.lowering.lower import lower as lower_graph
from .backends.verification.pairs import paired
from .backends.verification.report import Contract, Verification
from .backends.verification.verify import compared
from .compiler.archipelago import Archipelago, Island
from .compiler.arrays import Integers
from .compiler.calibrate import calibrate as calibrate_graph
from .compiler.callers import batch, check_arguments, check_leaves, forwards
from .compiler.capture import capture as capture_graph
from .compiler.capture import islands as find_islands
from .compiler.capture.alongside import check_alongside
from .compiler.capture.copies import copied
from .compiler.capture.islands import Islands
from .compiler.contract import ExactIntegers, Pass
from .compiler.errors import Unsupported, UserError
from .compiler.modes import evaluated
from .compiler.pipeline import Result, run
from .compiler.plugins import installed
from .compiler.prepared import Prepared
from .compiler.recipe import Recipe, parse
from .compiler.registry import members
from .compiler.stage import LOWERING
from .recipes import shipped

FLOAT = Recipe("float", "no pass at all", (), ())
"""What a model is captured with."""


def passes() -> Mapping[str, Pass]:
    """Every pass, by name: the shipped ones, and those of installed packages (see `compiler/plugins.py`)."""
    return installed(members(f"{__package__}.passes", Pass))


def read_recipe(source: str | Path | Recipe) -> Recipe:
    """A recipe from a shipped name or a path of a TOML file. Raises UserError if there is neither, or it is wrong."""
    if isinstance(source, Recipe):
        return source
    _check_recipe(source)
    path = shipped().get(str(source), Path(source))
    try:
        text = path.read_text(encoding="utf-8-sig")  # some editors begin a file with a byte order mark
    except (OSError, UnicodeDecodeError) as error:
        known = ", ".join(shipped())
        raise UserError(f"no recipe '{source}'", why=str(error), fix=f"a path, or one of: {known}") from None
    try:
        return parse(text, passes())
    except UserError as error:
        error.where = f"{source}: {error.where}" if error.where else str(source)
        raise


def _check_recipe(source: object) -> None:
    """Callers without a type checker pass None, or a table."""
    if not isinstance(source, (str, os.PathLike)):
        fix = f"a path, a lowbit.Recipe, or one of: {', '.join(shipped())}"
        raise UserError(f"a recipe cannot be a {type(source).__name__}", fix=fix)


def prepare(
    model: nn.Module,
    example_inputs: Sequence[Any],
    recipe: str | Path | Recipe,
    *,
    kwargs: Mapping[str, Any] | None = None,
    steps: int | None = None,
) -> Prepared:
    """A trainable copy of `model` after the recipe's passes; the model itself is not touched.

    example_inputs, kwargs: arguments of one forward; the first axis of each tensor is the batch.
    steps: number of optimizer steps of the training to come, which schedules are measured against.
    Activation scales are set from the example inputs; `calibrate` sets them better from real data.
    Raises UserError where the model or the recipe cannot be used, Unsupported where the prepared model could not be
    lowered, with every such call: before any training.
    """
    check_arguments(model, example_inputs, steps)
    chosen = read_recipe(recipe)
    graph = capture_graph(copied(model), example_inputs, kwargs, leaves=chosen.leaves)
    result = run(chosen.first(graph), chosen.prepare, steps, stage=chosen.stage)
    prepared = Prepared(result.graph, chosen, result.ledger)
    calibrate_graph(prepared.graph, [prepared.flat(tuple(example_inputs), kwargs or {})], method=chosen.calibration)
    if graph.leaves:
        what = f"the model trains, but stays float in part and cannot be lowered: {', '.join(graph.leaves)}"
        warnings.warn(what, stacklevel=2)
    else:
        lower(prepared)
    return prepared.train(model.training)


def prepare_islands(
    model: nn.Module,
    example_inputs: Sequence[Any],
    recipe: str | Path | Recipe,
    *,
    kwargs: Mapping[str, Any] | None = None,
    steps: int | None = None,
) -> Archipelago:
    """As `prepare`, for a model that cannot be captured whole: of its largest submodules that can, each on its own.

    The whole trains; `islands` holds the prepared submodules, each of which is lowered to a program of its own.
    Raises what `prepare` raises.
    """
    check_arguments(model, example_inputs, steps)
    twin = copied(model)
    found = find_islands(twin, example_inputs, kwargs, any_size=False)
    floats, parts = copy.deepcopy((twin, found))
    check_alongside(model, _placed(floats, parts, FLOAT), example_inputs, kwargs)
    prepared = _placed(twin, found, read_recipe(recipe), steps)
    for island in prepared.islands.values():
        lower(island)
    return prepared


def capture(
    model: nn.Module,
    example_inputs: Sequence[Any],
    *,
    kwargs: Mapping[str, Any] | None = None,
    leaves: Sequence[str] = (),
) -> Prepared:
    """A trainable copy of `model` as a graph, with no pass: it computes and trains as the model does.

    example_inputs, kwargs: as of `prepare`.   leaves: patterns of module paths that stay opaque.
    Raises UserError where the model cannot be captured, with the user's line.
    """
    check_arguments(model, example_inputs, None)
    check_leaves(leaves)
    recipe = replace(FLOAT, leaves=tuple(leaves))
    graph = capture_graph(copied(model), example_inputs, kwargs, leaves=leaves)
    return Prepared(graph, recipe).train(model.training)


def capture_islands(
    model: nn.Module, example_inputs: Sequence[Any], *, kwargs: Mapping[str, Any] | None = None
) -> Archipelago:
    """As `capture`, for a model that cannot be captured whole: of its largest submodules that can."""
    check_arguments(model, example_inputs, None)
    twin = copied(model)
    ours = _placed(twin, find_islands(twin, example_inputs, kwargs), FLOAT)
    check_alongside(model, ours, example_inputs, kwargs)
    return ours


def _placed(model: nn.Module, found: Islands, recipe: Recipe, steps: int | None = None) -> Archipelago:
    """The model with its islands prepared, in their places."""
    training, prepared = model.training, {}
    for path, graph in found.graphs.items():
        result = run(recipe.first(graph), recipe.prepare, steps, stage=recipe.stage)
        prepared[path] = Island(result.graph, recipe, result.ledger, model.get_submodule(path))
        calibrate_graph(prepared[path].graph, [found.examples[path].flat], method=recipe.calibration)
    return Archipelago(model, prepared, found.left).train(training)


def calibrate(
    prepared: Prepared | Archipelago,
    examples: Iterable[Any],
    report: Callable[[str, int], None] = lambda stage, done: None,
    method: str | None = None,
) -> None:
    """Set the activation scales from the examples, and the corrections of biases.

    Each is one input, a tuple or list of a forward's arguments, or a dict of them by name.
    report: told the stage and the number of examples done.   method: "mse", for the least mean square error, "minmax",
    "percentile" or "moving_average"; by default as the recipe says.
    Raises UserError when there are no examples, or one does not fit the model.
    """
    _check_prepared(prepared)
    given = forwards(examples)
    if isinstance(prepared, Archipelago):
        for path, met in prepared.met(given).items():
            island = prepared.islands[path]
            calibrate_graph(island.graph, met, report, method or island.recipe.calibration)
    else:
        calibrate_graph(prepared.graph, _flat(prepared, given), report, method or prepared.recipe.calibration)


def _flat(prepared: Prepared, given: Iterable[tuple[tuple[Any, ...], dict[str, Any]]]) -> Iterator[list[Any]]:
    for number, arguments in enumerate(given, 1):
        with batch(number):
            flat = prepared.flat(*arguments)
        yield flat


def _check_prepared(prepared: object) -> None:
    if not isinstance(prepared, (Prepared, Archipelago)):
        what = f"the model is a {type(prepared).__name__}, which no recipe has prepared"
        raise UserError(what, fix="give what lowbit.prepare(model, inputs, recipe) returns")


def deployed(prepared: Prepared) -> Result:
    """The graph that is lowered, in eval mode after the recipe's `lower` passes, and what each of them did."""
    return run(evaluated(prepared.graph), prepared.recipe.lower, stage=LOWERING)


def lower(prepared: Prepared | Archipelago) -> Compiled:
    """The integer program of a prepared module, or of an island. Raises Unsupported for what has no integer form."""
    _check_prepared(prepared)
    if isinstance(prepared, Archipelago):
        fix = f"lower each island, such as .islands['{next(iter(prepared.islands))}']"
        raise Unsupported("a model in islands is not one program", why="plain Python stands between them", fix=fix)
    return Compiled(lower_graph(deployed(prepared).graph))


def load(path: str | os.PathLike[str], max_values: int = blob.MAX_VALUES) -> Compiled:
    """The program of a `.lowbit` file. max_values: cap on the integers it may hold. Raises UserError (FileError)."""
    return Compiled(blob.load(path, max_values))


def check(compiled: Compiled, *inputs: Integers) -> tuple[Comparison, ...]:
    """Each other target beside the interpreter, on every intermediate tensor of these input integers, batch first."""
    return compare(compiled.program, inputs)


def verify(
    prepared: Prepared,
    examples: Iterable[Any],
    compiled: Compiled | None = None,
    *,
    contract: Contract | None = None,
    report: Callable[[int], None] = lambda samples: None,
    target: str = "torch",
) -> Verification:
    """Float model, prepared model and integer program on the same examples, node by node.

    examples: as of `calibrate`.   compiled: the program that ships; by default what `lower` makes of the model.
    contract: what must hold, see `Contract`.   report: told the samples done.   target: runs the program.
    The nodes are those of the model as it was prepared; passes that only move hidden units, or take them out, are left
    aside for that, and the outputs of both programs compared.
    Raises UserError where an example does not fit, or `compiled` is not what the prepared model becomes.
    """
    _check_prepared(prepared)
    whole = lower(prepared).program
    if compiled is not None and (line := difference(whole, compiled.program)):
        fix = "give the model, the recipe, the weights and the data that the file was made with"
        raise UserError("the program is not what the prepared model becomes", where=line, fix=fix)
    graph = marked(evaluated(prepared.graph))
    still = [use for use in prepared.recipe.lower if not isinstance(use.pass_.law, ExactIntegers)]
    beside = paired(graph, run(graph, still).graph)
    same = not difference(whole, beside.program)
    shipped = beside.program if same else whole
    flat = _flat(prepared, forwards(examples))
    return compared(beside, shipped, flat, contract or Contract(), report, target)
