"""A model whose part runs a given function, and its bare export: for what capture must notice or refuse."""

from __future__ import annotations

import contextlib
import inspect
import io
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn


class Part(nn.Module):
    """Runs one function of its input, as the part of a model."""

    def __init__(self, function: Callable[[nn.Module, Tensor], Any]) -> None:
        super().__init__()
        self.function = function
        self.register_buffer("number", torch.tensor(3))

    def forward(self, x: Tensor) -> Any:
        return self.function(self, x)


class Whole(nn.Module):
    def __init__(self, part: nn.Module) -> None:
        super().__init__()
        self.lin = nn.Linear(4, 4)
        self.parts = nn.Sequential(nn.Identity(), part)

    def forward(self, x: Tensor) -> Any:
        return self.parts(self.lin(x))


def exported(model: nn.Module) -> Any:
    shapes = ({0: torch.export.Dim.DYNAMIC},)
    with contextlib.redirect_stderr(io.StringIO()), warnings.catch_warnings():  # torch prints its half-made graph there
        warnings.simplefilter("ignore")
        return torch.export.export(model.train(), (torch.ones(4, 4),), dynamic_shapes=shapes, strict=False)


def line_of(function: Any, text: str) -> str:
    """`file:line` of the first line of a function that holds a text."""
    lines, first = inspect.getsourcelines(function)
    return f"{inspect.getsourcefile(function)}:{first + next(i for i, line in enumerate(lines) if text in line)}"
