"""A small module around a given function, captured and made pure, and what is compared with the module bit for bit."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from lowbit.compiler.capture import capture
from lowbit.compiler.capture.in_place import functional
from lowbit.compiler.graph import Graph
from lowbit.compiler.text import text
from lowbit.compiler.verify import verify
from torch import Tensor, nn

Function = Callable[["Model", Tensor], Any]


class Model(nn.Module):
    """A linear layer, two buffers, and a given function of (model, x)."""

    def __init__(self, function: Function) -> None:
        super().__init__()
        self.function = function
        self.lin = nn.Linear(4, 4)
        self.register_buffer("seen", torch.zeros(4))
        self.register_buffer("mask", torch.tensor([True, False, True, True]), persistent=False)

    def forward(self, x: Tensor) -> Any:
        return self.function(self, x)


def batch(size: int = 3) -> Tensor:
    return torch.randn(size, 4, generator=torch.Generator().manual_seed(size))


def purified(function: Function) -> tuple[Model, Graph]:
    torch.manual_seed(0)
    model = Model(function)
    graph = capture(model, (batch(),), verify=False)
    before = text(graph)
    pure = functional(graph)
    verify(pure, "functional")
    assert text(graph) == before
    assert text(functional(pure)) == text(pure)
    return model, pure


def observed(module: nn.Module, x: Tensor) -> list[Any]:
    """Outputs, gradients of parameters and of the input, buffers, and the input itself afterwards."""
    leaf = x.clone().requires_grad_()
    given = leaf * 1
    torch.manual_seed(0)
    out = module(given)
    flat = torch.utils._pytree.tree_leaves(out)
    real = [y for y in flat if isinstance(y, Tensor) and y.requires_grad]
    if real:
        sum((y * torch.arange(1, y.numel() + 1).reshape(y.shape)).sum() for y in real).backward()  # type: ignore[union-attr]
    grads = {name: parameter.grad for name, parameter in module.named_parameters()}
    return [[y.detach() for y in flat], grads, leaf.grad, dict(module.named_buffers()), given.detach()]


def same(model: Model, graph: Graph) -> None:
    for size in (1, 2, 5):
        theirs = observed(copy.deepcopy(model), batch(size))
        ours = observed(copy.deepcopy(graph.module()), batch(size))
        for named in (1, 3):  # the module of a graph holds only what it reads
            both = theirs[named].keys() & ours[named].keys()
            theirs[named], ours[named] = ({name: seen[named][name] for name in both} for seen in (theirs, ours))
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0, equal_nan=True)
