"""torch.export in train mode with a dynamic batch, never decomposed; and programs that hold for some batches only."""

from __future__ import annotations

import contextlib
import inspect
import io
import logging
import sys
import warnings
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from torch.utils import _pytree as pytree

from ..errors import UserError
from .refusal import refusal

_TRIED = range(2, 1025)


def export(model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> torch.export.ExportedProgram:
    bound = inspect.signature(model.forward).bind(*args, **kwargs).arguments
    batch = {0: torch.export.Dim.DYNAMIC}
    shapes = pytree.tree_map(lambda x: batch if isinstance(x, torch.Tensor) and x.dim() else None, dict(bound))
    try:
        with warnings.catch_warnings(), _quiet():
            warnings.simplefilter("ignore")
            return torch.export.export(model, args, kwargs, dynamic_shapes=shapes, strict=False)
    except Exception as error:  # torch.export raises whatever the module's own code raised
        raise refusal(
            error, [tuple(x.shape) for x in pytree.tree_leaves(bound) if isinstance(x, torch.Tensor)]
        ) from error


def refuse_branches(program: torch.export.ExportedProgram) -> None:
    """Refuse a program that torch recorded for some batch sizes only: at others it would compute something else."""
    values = [node.meta.get("val") for node in program.graph.nodes if node.op == "placeholder"]
    sizes: list[Any] = [value.shape[0] for value in values if isinstance(value, torch.Tensor) and value.dim()]
    for size in sizes:
        if not isinstance(size, torch.SymInt):
            continue
        guards = [guard for guard in size.node.shape_env.guards if _excludes(guard.expr, size.node.expr)]
        bounds = program.range_constraints.get(size.node.expr)
        if guards or (bounds and (bounds.lower > 2 or bounds.upper < sys.maxsize)):
            place = getattr(guards[0].sloc, "framework_loc", None) if guards else None
            raise UserError(
                "the model branches on the batch size",
                where=f"{place.filename}:{place.lineno}  {place.line}" if place else "",
                why=f"what it computes holds only for some sizes: {guards[0].expr if guards else bounds}",
                fix="compute the same for every batch size",
            )


def _excludes(condition: Any, batch: Any) -> bool:
    """Whether a batch size breaks the condition; one that reads two sizes says that two inputs have equal batches.

    Many conditions of torch's own hold always, as (3 * N - 1) // N == 2 does, and no prover of its tells: tried out.
    """
    return condition.free_symbols == {batch} and any(not condition.subs(batch, size) for size in _TRIED)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep torch.export from printing its half-made graph; the refusal says what the user needs."""
    logger = logging.getLogger("torch")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with contextlib.redirect_stderr(io.StringIO()):  # the graph is printed there, not logged
            yield
    finally:
        logger.setLevel(level)
