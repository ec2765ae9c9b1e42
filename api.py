"""The front door: prepare, calibrate, lower, compile, load. The only file that joins passes and backends."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils import _pytree as pytree

from .compiler.calibrate import calibrate as calibrate_graph
from .compiler.capture import capture
from .compiler.contract import Pass
from .compiler.errors import UserError
from .compiler.modes import evaluated
from .compiler.pipeline import run
from .compiler.prepared import Prepared
from .compiler.recipe import Recipe, parse
from .compiler.registry import members


def passes() -> Mapping[str, Pass]:
    """Every pass, by name."""
    return members(f"{__package__}.passes", Pass)


def recipes() -> dict[str, Path]:
    """The shipped recipes: name -> TOML file."""
    folder = Path(str(resources.files(f"{__package__}.recipes")))
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def recipe(source: str | Path | Recipe) -> Recipe:
    """A recipe from a shipped name or a path of a TOML file. Raises UserError if there is neither, or it is wrong."""
    if isinstance(source, Recipe):
        return source
    path = recipes().get(str(source), Path(source))
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        known = ", ".join(recipes())
        raise UserError(f"no recipe '{source}'", why=str(error), fix=f"a path, or one of: {known}") from None
    return parse(text, passes())


def prepare(
    model: nn.Module,
    example_inputs: Sequence[Any],
    recipe_source: str | Path | Recipe,
    *,
    kwargs: Mapping[str, Any] | None = None,
    steps: int | None = None,
) -> Prepared:
    """A trainable copy of `model` after the recipe's passes; the model itself is not touched.

    example_inputs, kwargs: arguments of one forward; the first axis of each tensor is the batch.
    steps: number of optimizer steps of the training to come, which schedules are measured against.
    Activation scales are set from the example inputs; `calibrate` sets them better from real data.
    Raises UserError where the model or the recipe cannot be used.
    """
    chosen = recipe(recipe_source)
    captured = capture(copy.deepcopy(model), example_inputs, kwargs)
    result = run(captured, chosen.prepare, steps)
    prepared = Prepared(result.graph, chosen, result.ledger)
    calibrate_graph(prepared.graph, [pytree.tree_leaves((tuple(example_inputs), dict(kwargs or {})))])
    return prepared.train(model.training)


def calibrate(prepared: Prepared, batches: Iterable[Any]) -> None:
    """Set the activation scales to the least mean square error over the batches (inputs, or tuples of inputs)."""
    calibrate_graph(prepared.graph, (pytree.tree_leaves(batch) for batch in batches))


def lower(prepared: Prepared) -> Any:
    """The integer program of a prepared module in eval mode. Raises Unsupported for what has no integer form."""
    from .backends.fixed.lower import lower as lower_graph

    graph = evaluated(prepared.graph)
    return lower_graph(run(graph, prepared.recipe.lower).graph)


__all__ = ["calibrate", "lower", "passes", "prepare", "recipe", "recipes"]
_ = torch
