"""What users do with a model: any outputs, any names, arguments in any order; and what is refused, in their words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from lowbit.compiler.capture import capture
from lowbit.compiler.errors import UserError
from lowbit.compiler.prepared import Prepared
from lowbit.compiler.recipe import Recipe
from torch import Tensor, nn

PLAIN = Recipe("plain", "no pass at all", (), ())
X = torch.randn(8, 4, generator=torch.Generator().manual_seed(0))


def model(forward: Callable[..., Any], **parts: nn.Module) -> nn.Module:
    """A module of a linear layer `lin` and these parts, with that `forward(self, ...)`."""
    made: nn.Module = type("Model", (nn.Module,), {"forward": forward})()
    for name, part in {"lin": nn.Linear(4, 4), **parts}.items():
        made.add_module(name, part)
    return made


def prepared(module: nn.Module, *args: Any, **kwargs: Any) -> Prepared:
    return Prepared(capture(module, args, kwargs), PLAIN)


def test_a_conversion_to_the_same_type_is_nothing() -> None:
    def forward(self: Any, x: Tensor) -> Any:
        return self.lin(x.float()).to(torch.float32).to("cpu").type_as(x) + x.to(torch.float64)

    ours = prepared(model(forward), X)
    calls = [str(node.target) for node in ours.graph.nodes if node.op == "call_function"]
    assert calls == ["aten.linear.default", "aten.to.dtype", "aten.add.Tensor"]
    assert ours(X[:3]).dtype == torch.float64
