"""Fused activations against their pieces: values, gradients, ties, and what happens where the pieces overflow."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from lowbit.api import passes
from lowbit.compiler.capture import capture
from lowbit.compiler.graph import Graph
from lowbit.compiler.sketches.spellings import PIECES, Spelt
from lowbit.compiler.sketches.trial import advance
from torch import Tensor

UNFUSED = {"steep maximum", "softmax of two axes", "silu of a shared sigmoid", "wider maximum"}
ROUNDED = {"hardsigmoid": 2.0**-24}
"""Gradients that torch computes with a constant in single precision, the 1 / 6 of hardsigmoid."""
CALLS = {
    "relu": "relu.default",
    "relu6": "hardtanh.default",
    "leaky": "leaky_relu.default",
    "softplus": "softplus.default",
    "softmax": "softmax.int",
    "layer norm": "layer_norm.default",
}


def fused(name: str) -> tuple[Graph, Graph]:
    """The pieces captured in float64, before and after normal form and fusion."""
    before = capture(Spelt(PIECES[name]).train(), (torch.randn(2, 5, 7, dtype=torch.float64),), verify=False)
    return before, advance(advance(before, "normalize", passes()).graph, "fuse_activation", passes()).graph


def run(graph: Graph, x: Tensor) -> tuple[Tensor, Tensor]:
    """The value, and the gradient of a sum of it with weights that differ."""
    given = x.clone().requires_grad_()
    (y,), _, _ = graph.module()(given)
    (y * torch.linspace(0.5, 1.5, y.numel(), dtype=y.dtype).reshape(y.shape)).sum().backward()
    assert given.grad is not None
    return y.detach(), given.grad


@pytest.mark.parametrize("name", sorted(PIECES.keys() - UNFUSED))
def test_values_and_gradients(name: str) -> None:
    before, after = fused(name)
    calls = [str(node.target).removeprefix("aten.") for node in after.nodes if node.op == "call_function"]
    words = name.split()
    kind = next((CALLS[k] for k in (name, " ".join(words[:2]), words[0]) if k in CALLS), f"{words[0]}.default")
    assert kind in calls
    assert len(calls) == (2 if name == "softmax shifted" and "sub.Tensor" in calls else 1)
    generator = torch.Generator().manual_seed(0)
    for scale in (1.0, 8.0, 30.0):
        x = scale * torch.randn(6, 5, 7, dtype=torch.float64, generator=generator)
        bounds = (1e-9, ROUNDED.get(words[0], 1e-9))
        for ours, theirs, bound in zip(run(after, x), run(before, x), bounds, strict=True):
            assert float((ours - theirs).abs().max()) <= bound * float(theirs.abs().max())


@pytest.mark.parametrize("name", sorted(UNFUSED))
def test_what_only_looks_like_one_stays(name: str) -> None:
    before, after = fused(name)
    kinds = {"relu", "leaky_relu", "softmax", "silu"}
    assert not kinds & {str(node.target).split(".")[1] for node in after.nodes if node.op == "call_function"}
    assert len(before.nodes) >= len(after.nodes)


@pytest.mark.parametrize(("name", "slope"), [("relu clamp", 1.0), ("relu maximum", 0.5), ("relu where", 0.0)])
def test_gradients_differ_at_a_tie_alone(name: str, slope: float) -> None:
    """As the page of the pass says: relu has 0 there, the pieces what torch gives them."""
    before, after = fused(name)
    zeros = torch.zeros(2, 5, 7, dtype=torch.float64)
    weights = torch.linspace(0.5, 1.5, 70, dtype=torch.float64).reshape(2, 5, 7)
    assert torch.equal(run(before, zeros)[1], slope * weights)
    assert torch.equal(run(after, zeros)[1], 0 * weights)


@pytest.mark.parametrize("name", ["softplus", "softmax", "silu quotient"])
def test_the_call_is_finite_where_its_pieces_may_not_be(name: str) -> None:
    _, after = fused(name)
    x = torch.linspace(-800, 800, 70, dtype=torch.float64).reshape(2, 5, 7)
    assert all(bool(tensor.isfinite().all()) for tensor in run(after, x))


def test_a_parameter_that_happens_to_be_zero_is_no_number() -> None:
    class Learned(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.floor = torch.nn.Parameter(torch.zeros(()))

        def forward(self, x: Tensor) -> Tensor:
            return torch.maximum(x, self.floor)

    graph = capture(Learned().train(), (torch.randn(2, 3),), verify=False)
    after = advance(graph, "fuse_activation", passes()).graph
    assert "aten.maximum.default" in {str(node.target) for node in after.nodes}


@pytest.mark.parametrize(
    "function", [lambda x: torch.nn.functional.relu6(x + 3) / 6.001, lambda x: torch.log(1.001 + torch.exp(x))]
)
def test_another_number_is_another_function(function: Callable[[Tensor], Tensor]) -> None:
    graph = capture(Spelt(function).train(), (torch.randn(2, 3),), verify=False)
    after = advance(graph, "fuse_activation", passes()).graph
    assert not {"aten.hardsigmoid.default", "aten.softplus.default"} & {str(node.target) for node in after.nodes}
