"""What callers without a type checker pass: the arguments of the front door, checked and brought into one form."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from .errors import UserError


def check_leaves(leaves: Any) -> None:
    """Raises UserError unless it is a list of patterns."""
    if isinstance(leaves, str) or not all(isinstance(pattern, str) for pattern in leaves):
        raise UserError(
            f"leaves is {leaves!r}, not a list of patterns", fix="pass patterns of paths, such as ['head.*']"
        )


def check_arguments(model: Any, example_inputs: Any, steps: Any) -> None:
    """Raises UserError unless they are a module, the arguments of a forward, and a number of steps or None."""
    if not isinstance(model, nn.Module):
        raise UserError(f"the model is a {type(model).__name__}, not a torch.nn.Module", fix="pass an nn.Module")
    if not isinstance(example_inputs, (tuple, list)):
        what = f"the example inputs are a {type(example_inputs).__name__}, not the arguments of a forward"
        raise UserError(what, fix="pass a tuple, such as (x,)")
    if steps is not None and (isinstance(steps, bool) or not isinstance(steps, int) or steps < 1):
        raise UserError(f"steps is {steps!r}, not a positive integer", fix="count the optimizer steps of the training")


def forwards(examples: Any) -> Iterator[tuple[tuple[Any, ...], dict[str, Any]]]:
    """The arguments of a forward for each example: an input, a tuple or list of them, or a dict by name.

    Raises UserError unless it is an iterable of examples.
    """
    if isinstance(examples, (Tensor, Mapping, str, bytes)) or not isinstance(examples, Iterable):
        what = f"the examples are a {type(examples).__name__}, not an iterable of batches"
        raise UserError(what, fix="pass [x] for a single batch x")
    return map(_arguments, examples)


def _arguments(example: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if isinstance(example, Mapping):
        return (), dict(example)
    return tuple(example) if isinstance(example, (tuple, list)) else (example,), {}


@contextmanager
def batch(number: int, forms: Callable[[], str] = lambda: "") -> Iterator[None]:
    """Let every error name the batch; what torch or the model raises becomes a UserError.

    forms: what was given and what was expected, to be told with it.
    """
    place = f"batch {number}"
    try:
        yield
    except UserError as error:
        error.where = f"{place}: {error.where}" if error.where else place
        raise
    except (RuntimeError, TypeError, ValueError, LookupError) as error:
        said = str(error).strip().partition("\n")[0]
        why = "\n".join(filter(None, (forms(), said)))
        fix = "give tensors of the type and shape, and on the device, that the model was captured with"
        raise UserError("the model cannot run on a batch of the examples", where=place, why=why, fix=fix) from error
