"""torch.export in train mode with a dynamic batch, never decomposed; and programs that hold for some batches only."""

from __future__ import annotations

import contextlib
import io
import logging
import sys
import warnings
from collections.abc import Iterator
from typing import Any
from unittest import mock

import sympy  # type: ignore[import-untyped]
import torch
from torch import nn
from torch._functorch import eager_transforms
from torch.fx.experimental.symbolic_shapes import ShapeEnv

from ..errors import UserError
from .causes import InnerDerivative
from .copies import copied
from .example import Example
from .lines import every_line
from .refusal import TORCH, here, place, refusal

_TRIED = (*range(2, 129), *(2**k + d for k in range(8, 17) for d in (-1, 0, 1)))


def export(model: nn.Module, example: Example) -> torch.export.ExportedProgram:
    """The model's program in the mode that it is in, for any batch.

    Where the model itself runs on no other batch, for that one, with a warning.
    Raises UserError with the user's line.
    """
    try:
        program = _exported(model, example, torch.export.Dim.DYNAMIC)
    except torch._dynamo.exc.UserError as error:
        if "specialized" not in str(error):
            raise refusal(error, model, example.shapes) from error
        return _fixed(model, example)
    except Exception as error:  # torch.export raises whatever the module's own code raised
        raise refusal(error, model, example.shapes, _failure(model, example)) from error
    if (branch := _branch(program)) is not None:
        raise branch
    return program


def export_any_size(model: nn.Module, example: Example) -> torch.export.ExportedProgram:
    """The model's program for inputs of any size, as far as torch can tell; `assumptions` says how far."""
    try:
        return _exported(model, example, torch.export.Dim.AUTO, every_axis=True)
    except Exception as error:  # torch.export raises whatever the module's own code raised
        raise refusal(error, model, example.shapes) from error


def _exported(model: nn.Module, example: Example, dim: Any, every_axis: bool = False) -> torch.export.ExportedProgram:
    shapes = example.dynamic_shapes(model, dim, every_axis)
    with warnings.catch_warnings(), _quiet(), _without_hints(), _without_derivatives(), every_line(model):
        warnings.simplefilter("ignore")
        return torch.export.export(model, example.args, example.kwargs, dynamic_shapes=shapes, strict=False)


def _fixed(model: nn.Module, example: Example) -> torch.export.ExportedProgram:
    """The program for this batch alone, of a model that runs on no other. Raises UserError for one that does."""
    with _specialized(model) as places:
        try:
            program = _exported(model, example, torch.export.Dim.AUTO)
        except Exception as error:  # torch.export raises whatever the module's own code raised
            raise refusal(error, model, example.shapes, _failure(model, example)) from error
    failure = _failure(model, example.grown())
    if failure is None:
        raise UserError(
            "the model cannot be captured for every batch size",
            where=next(iter(places), ""),
            why=f"torch.export recorded it for {example} alone: it branches on that, loops over it or takes len()",
            fix="compute the same for every batch size, which is x.shape[0]",
        )
    what = f"the model runs on no other batch than {example}, and so does its graph"
    warnings.warn(f"{what}\n  at   {place(failure, model)}", stacklevel=2)
    return program


@contextlib.contextmanager
def _specialized(model: nn.Module) -> Iterator[list[str]]:
    """Collects the user's lines at which torch fixes a symbolic size; no guard tells of those within torch."""
    places: list[str] = []
    kept = ShapeEnv._set_replacement

    def noted(env: ShapeEnv, symbol: Any, value: Any, why: str) -> None:
        if value.is_number:
            places.append(here(model))
        kept(env, symbol, value, why)

    with mock.patch.object(ShapeEnv, "_set_replacement", noted):
        yield places


def _failure(model: nn.Module, example: Example) -> Exception | None:
    """What the model raises on these inputs, if anything."""
    twin = copied(model)
    try:
        example.tried(twin)
    except Exception as error:  # whatever the user's code raises
        return error
    return None


def _branch(program: torch.export.ExportedProgram) -> UserError | None:
    """Why the program holds for some batch sizes only and would compute something else at others."""
    for size in _batch_sizes(program):
        guards = [guard for guard in size.node.shape_env.guards if _excludes(guard.expr, size.node.expr)]
        bounds = program.range_constraints.get(size.node.expr)
        if guards or (bounds and (bounds.lower > 2 or bounds.upper < sys.maxsize)):
            return UserError(
                "the model branches on the batch size",
                where=_place(guards[0]) if guards else "",
                why=f"what it computes holds only for some sizes: {guards[0].expr if guards else bounds}",
                fix="compute the same for every batch size",
            )
    return None


def _batch_sizes(program: torch.export.ExportedProgram) -> list[torch.SymInt]:
    """The symbols of the batch, once each."""
    values = [node.meta.get("val") for node in program.graph.nodes if node.op == "placeholder"]
    sizes: list[Any] = [value.shape[0] for value in values if isinstance(value, torch.Tensor) and value.dim()]
    return list({str(size): size for size in sizes if isinstance(size, torch.SymInt)}.values())


def _place(guard: Any) -> str:
    """The user's line that a guard comes from."""
    place = getattr(guard.sloc, "framework_loc", None)
    if place is None or place.filename.startswith(TORCH):
        return ""
    return f"{place.filename}:{place.lineno}  {place.line}"


def _excludes(condition: Any, batch: Any) -> bool:
    """Whether a batch size breaks the condition; one that reads two sizes says that two inputs have equal batches.

    Many conditions of torch's own hold always, as (3 * N - 1) // N == 2 does, and no prover of its tells: tried out.
    """
    return condition.free_symbols == {batch} and any(
        not condition.subs(batch, size) for size in (*_TRIED, *_turns(condition, batch))
    )


def _turns(condition: Any, batch: Any) -> set[int]:
    """Sizes at which the condition may change: around the roots of what it compares, and of its own numbers."""
    numbers = [int(number) for number in condition.atoms(sympy.Integer)]
    found = {a + b for a in numbers for b in (*numbers, 0)}
    with contextlib.suppress(sympy.PolynomialError, NotImplementedError, AttributeError):
        found |= {int(root) for root in sympy.Poly(condition.lhs - condition.rhs, batch).real_roots()}
    return {size + step for size in found for step in (-1, 0, 1) if size + step > 1}


@contextlib.contextmanager
def _without_hints() -> Iterator[None]:
    """nn.Transformer looks at the values of a mask to see whether it is causal: a hint for speed, which may be left."""

    def given(mask: Any, is_causal: bool | None = None, size: int | None = None) -> bool:
        return is_causal is True

    with mock.patch.object(torch.nn.modules.transformer, "_detect_is_causal_mask", given):
        yield


@contextlib.contextmanager
def _without_derivatives() -> Iterator[None]:
    """torch.func.grad and its kin raise at the user's line."""

    def refused() -> Any:
        raise InnerDerivative

    with contextlib.ExitStack() as stack:
        for name in ("grad_increment_nesting", "jvp_increment_nesting"):
            stack.enter_context(mock.patch.object(eager_transforms, name, refused))
        yield


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
