"""Constant folding: what no input reaches becomes a buffer, bit for bit, and nothing else does."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from lowbit.compiler.capture import capture
from lowbit.compiler.capture.folding import CONSTANTS, LARGE, folded
from lowbit.compiler.capture.in_place import functional
from lowbit.compiler.graph import Graph, origin
from lowbit.compiler.text import target_name, text
from lowbit.compiler.verify import verify
from torch import Tensor, nn

Function = Callable[["Model", Tensor], Any]


class Model(nn.Module):
    """A linear layer, a persistent and two transient buffers, and a given function of (model, x)."""

    def __init__(self, function: Function) -> None:
        super().__init__()
        self.function = function
        self.lin = nn.Linear(4, 4)
        self.register_buffer("lasting", torch.arange(4.0))
        self.register_buffer("mask", torch.ones(6, 6).tril(), persistent=False)
        self.register_buffer("counted", torch.zeros(4), persistent=False)

    def forward(self, x: Tensor) -> Any:
        return self.function(self, x)


def compact(function: Function) -> tuple[Model, Graph]:
    torch.manual_seed(0)
    model = Model(function)
    graph = functional(capture(model, (torch.randn(3, 4),), verify=False))
    before = text(graph)
    small = folded(graph)
    verify(small, "folded")
    assert text(graph) == before
    assert text(folded(small)) == text(small)
    for size in (1, 2, 5):
        x = torch.randn(size, 4)
        seen = []
        for module in (copy.deepcopy(model), copy.deepcopy(small.module())):
            torch.manual_seed(0)
            out = module(x)
            leaves = [y for y in torch.utils._pytree.tree_leaves(out) if isinstance(y, Tensor)]
            sum(y.sum() for y in leaves).backward()  # type: ignore[union-attr]
            seen.append(([y.detach() for y in leaves], module.lin.weight.grad))
        torch.testing.assert_close(seen[1], seen[0], rtol=0, atol=0)
    return model, small


def calls(graph: Graph) -> list[str]:
    return [target_name(node.target) for node in graph.nodes if node.op == "call_function"]


def constants(graph: Graph) -> list[str]:
    return [name for name in graph.state if name.startswith(CONSTANTS)]


def literal(m: Model, x: Tensor) -> Tensor:
    return m.lin(x) * torch.tensor([1.0, 2.0, 3.0, 4.0])


def positions(m: Model, x: Tensor) -> Tensor:
    return m.lin(x) + (torch.arange(4, device=x.device).float()[None] / 4).cos()


def masks(m: Model, x: Tensor) -> Tensor:
    return m.lin(x) + m.mask[:4, :4].log().clamp(-1.0)[2]


def written_first(m: Model, x: Tensor) -> Tensor:
    z = torch.empty(4).fill_(2.0)
    z[1] = 5.0
    return m.lin(x) * z


def sizes(m: Model, x: Tensor) -> Tensor:
    return m.lin(x).reshape(-1, x.shape[1] // 2, 2).sum(1) / (x.shape[1] ** 0.5)


def several(m: Model, x: Tensor) -> Tensor:
    low, high = torch.linspace(0, 1, 8).chunk(2)
    return m.lin(x) * high + low


@pytest.mark.parametrize("function", [literal, positions, masks, written_first, several])
def test_what_no_input_reaches_becomes_a_buffer(function: Function) -> None:
    model, graph = compact(function)
    assert set(calls(graph)) <= {"linear", "mul.Tensor", "add.Tensor"}
    assert constants(graph)
    assert set(constants(graph)) <= graph.transient
    assert not [name for name in graph.state if "lifted" in name or name == "mask"]
    tree = nn.Module()
    graph.install(tree)
    assert tree.state_dict().keys() == model.state_dict().keys()


def test_sizes_become_numbers() -> None:
    _, graph = compact(sizes)
    assert calls(graph) == ["linear", "reshape", "sum.dim_IntList", "div.Tensor"]
    assert not constants(graph)


def test_a_constant_keeps_its_origin() -> None:
    _, graph = compact(positions)
    (node,) = [node for node in graph.nodes if str(node.target).startswith(CONSTANTS)]
    (reader,) = node.users
    assert origin(node) == origin(reader)
    assert "test_folding.py" in origin(node).source


def twice(m: Model, x: Tensor) -> Tensor:
    return m.lin(x) * torch.arange(4.0) + torch.arange(4).float() + torch.arange(4)


def test_equal_constants_share_one_buffer() -> None:
    _, graph = compact(twice)
    assert len(constants(graph)) == 2  # of two types


def by_parameter(m: Model, x: Tensor) -> Tensor:
    return x @ (m.lin.weight * 2).t() + m.lasting.cos()


def random(m: Model, x: Tensor) -> Tensor:
    return m.lin(x) + torch.rand(4).sin() + torch.zeros(4).bernoulli_(0.5).cos()


def by_batch(m: Model, x: Tensor) -> Tensor:
    return m.lin(x) + torch.arange(x.shape[0]).float()[:, None]


def counting(m: Model, x: Tensor) -> Tensor:
    count = m.counted.view(4)
    m.counted.add_(1)
    return m.lin(x) + count.cos()


def noise(m: Model, x: Tensor) -> Tensor:
    return m.lin(x) + torch.nn.functional.dropout(torch.ones(4), 0.5)


@pytest.mark.parametrize(
    ("function", "left"),
    [
        (by_parameter, {"cos", "mul.Tensor"}),
        (random, {"rand", "sin", "bernoulli_.float", "cos"}),
        (by_batch, {"arange", "to.dtype"}),
        (counting, {"add_.Tensor", "cos"}),
        (noise, {"dropout"}),
    ],
)
def test_what_may_change_is_computed_in_every_run(function: Function, left: set[str]) -> None:
    _, graph = compact(function)
    assert left <= set(calls(graph))


def test_a_checkpoint_reaches_what_is_computed_from_it() -> None:
    model, graph = compact(by_parameter)
    module = graph.module()
    model.lasting.fill_(7.0)
    module.load_state_dict(model.state_dict(), strict=False)
    x = torch.randn(2, 4)
    torch.testing.assert_close(module(x)[0][0], model(x), rtol=0, atol=0)


def repeated(m: Model, x: Tensor) -> Tensor:
    return m.lin(x) + torch.arange(4).float()[:, None].expand(4, 2000).sum(1) + m.mask.expand(9, 6, 6)[0, 0, :4]


def spread(m: Model, x: Tensor) -> Tensor:
    return (
        x[:, :1].expand(-1, 9)
        + m.lasting.sum()
        + torch.arange(9).cos().unsqueeze(0).expand(x.shape[0], 9)
        + m.lin(x).sum()
    )


def large(m: Model, x: Tensor) -> Tensor:
    return (
        m.lin(x)
        + torch.arange(LARGE + 1).float().mean() * torch.ones(LARGE + 1)[:4] * torch.ones(LARGE + x.shape[0])[0]
    )


def wide(m: Model, x: Tensor) -> tuple[Tensor, Tensor]:
    return m.lin(x), x[0, 0] * torch.ones(LARGE + 1).cos()


def test_nothing_is_kept_that_is_large_and_cheap_to_make() -> None:
    _, graph = compact(wide)
    assert {"ones", "cos"} <= set(calls(graph))
    assert not constants(graph)
    assert all(tensor.numel() <= 9 for tensor in compact(spread)[1].state.values() if tensor.dim() < 2)
    assert all(tensor.numel() <= 9 for tensor in compact(large)[1].state.values() if tensor.dim() < 2)
    compact(repeated)
