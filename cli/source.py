"""What a SOURCE or DATA argument names: a factory, a model of an installed zoo, a saved program, or a built-in name."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ..compiler.errors import UserError
from .sources import factory, query

if TYPE_CHECKING:
    from torch import nn

    from ..compiler.task import Task
    from ..compiler.training import Data

FORMS = f"{factory.FORM}, timm:NAME, torchvision:NAME, transformers:CONFIG, or a saved file.pt2"
SETS = {"digits": f"{__package__}.demo:digits"}
"""Data sets by their short names."""
ZOOS = ("timm", "torchvision", "transformers")
PROGRAM = ".pt2"
_FACTORY = re.compile(r"(?P<place>.+?):(?P<name>[^\W\d]\w*)(?:\?(?P<query>.*))?", re.DOTALL)
"""The place is the shortest that leaves a name, so that a colon may stand in a path and in an argument."""


def model(reference: str, seed: int = 0, weights: str | None = None) -> nn.Module:
    """The module that a SOURCE names, or that its factory returns. Raises UserError.

    seed: of torch's random numbers while it is made.   weights: a file of its weights, see `weights.load`.
    """
    import torch
    from torch import nn

    torch.manual_seed(seed)
    made = _made(reference, nn.Module)
    if not isinstance(made, nn.Module):
        raise UserError(f"'{reference}' gives a {type(made).__name__}, not a torch.nn.Module", fix="return the model")
    if weights is not None:
        from .weights import load

        load(weights, made)
    return made


def data(reference: str, test: str | None = None) -> Data:
    """The two data sets that a DATA names, or that its factory returns. Raises UserError.

    test: names the second one, where `reference` gives a plain dataset.
    """
    from ..compiler.training import Data

    made = _dataset(reference)
    if isinstance(made, Data):
        if test is not None:
            raise UserError(f"'{reference}' gives both data sets", fix="leave --test-data out")
        return made
    if test is None:
        fix = "name a second one with --test-data, or return lowbit.Data(train, test)"
        raise UserError(f"'{reference}' gives one data set, a {type(made).__name__}", fix=fix)
    judge = _dataset(test)
    if isinstance(judge, Data):
        raise UserError(f"'{test}' gives a lowbit.Data", fix="give --test-data a Dataset, or --data this one alone")
    return Data(made, judge)


def _dataset(reference: str) -> Any:
    """A lowbit.Data, or anything with samples to take by their number."""
    from ..compiler.training import Data

    made = _python(SETS.get(reference, reference), Data, f"{factory.FORM}, or one of: {', '.join(SETS)}")
    if not isinstance(made, Data) and not hasattr(made, "__getitem__"):
        fix = "return lowbit.Data(train, test), or a torch.utils.data.Dataset"
        raise UserError(f"'{reference}' gives a {type(made).__name__}, not a lowbit.Data", fix=fix)
    return made


def task(reference: str) -> Task:
    """The task that a TASK names, with its options behind a question mark. Raises UserError."""
    from ..compiler.task import task as named

    name, _, options = reference.partition("?")
    return named(name, **query.arguments(options))


def _made(reference: str, kind: type[nn.Module]) -> Any:
    zoo, colon, rest = reference.partition(":")
    if colon and zoo in ZOOS:
        from .sources import zoos

        return zoos.model(zoo, rest)
    if reference.partition("?")[0].endswith(PROGRAM) or reference.endswith(PROGRAM):
        from .sources import saved

        return saved.model(reference)
    return _python(reference, kind, FORMS)


def _python(reference: str, kind: type[Any], forms: str) -> Any:
    """What a Python factory makes; a thing of the kind itself is taken as it is."""
    match = _FACTORY.fullmatch(reference)
    if match is None:
        fix = f"name one of its functions: {reference}:factory" if reference.endswith(".py") else forms
        raise UserError(f"'{reference}' names no factory", fix=fix)
    arguments = query.arguments(match["query"] or "")
    found = factory.named(match["place"], match["name"])
    if not isinstance(found, kind):
        return factory.called(found, reference, arguments)
    if arguments:
        raise UserError(f"'{reference}' is a {type(found).__name__} already", fix="name a function, or drop the ?")
    return found
