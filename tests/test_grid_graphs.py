"""Grids on deep graphs, on the two graphs of one model, which read the same scales, and beside constants."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from lowbit.api import passes
from lowbit.compiler.capture import capture
from lowbit.compiler.graph import Graph, Origin, arguments, stamp
from lowbit.compiler.sketches.sketch import build
from lowbit.compiler.sketches.trial import advance
from torch import Tensor, fx, nn

aten, own = torch.ops.aten, torch.ops.lowbit
DEEP = 5000


def chain(targets: list[Any], length: int) -> Graph:
    """A convolution, and that many calls of one argument behind it."""
    graph = build("input(1,4,4) conv(1)")
    (node,) = graph.outputs
    for i in range(length):
        with graph.fx.inserting_before(graph.output):
            made = graph.fx.call_function(targets[i % len(targets)], (node,))
        stamp(made, Origin("chain"), node.meta["val"])
        node = made
    graph.output.args = (((node,), (), {}),)
    return graph


def grids(graph: Graph) -> list[fx.Node]:
    return [node for node in graph.nodes if node.target is own.fake_quantize.default]


@pytest.mark.parametrize(
    ("targets", "wanted"),
    [
        ([aten.relu.default], 3),
        ([aten.contiguous.default], 3),
        ([aten.contiguous.default, aten.relu.default], 3 + DEEP // 2),
    ],
    ids=["fused", "carried", "both"],
)
def test_deep_graphs_are_planned(targets: list[Any], wanted: int) -> None:
    """Beyond Python's own depth. Weight, input, and: the last relu; the convolution; each relu on a carried grid."""
    graph = chain(targets, DEEP)
    plan = passes()["insert_fake_quant"].plan(graph, lambda path: passes()["insert_fake_quant"].options())
    assert len(plan) == wanted


class Heads(nn.Module):
    """Joins more in training, in another order, and what eval mode joins."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind, self.stem = kind, nn.Conv2d(2, 4, 1)
        self.one, self.two, self.extra = nn.Conv2d(4, 3, 1), nn.Conv2d(4, 3, 1), nn.Conv2d(4, 3, 1)

    def forward(self, x: Tensor) -> Any:
        y = torch.relu(self.stem(x))
        if self.kind == "more" and self.training:
            extra = self.extra(y)
            return torch.cat([self.one(y), extra, self.two(y)], 1)
        if self.kind == "earlier" and self.training:
            extra = self.extra(y)
            return torch.cat([extra, self.one(y), self.two(y)], 1)
        return torch.cat([self.one(y), self.two(y)], 1)


def scales(graph: Graph) -> dict[str, str]:
    """The value on a grid -> the name of its scale."""
    return {arguments(node)["x"].name: str(arguments(arguments(node)["scale"])["self"].target) for node in grids(graph)}


@pytest.mark.parametrize("kind", ["more", "earlier"])
def test_both_graphs_read_the_same_scales(kind: str) -> None:
    graph = capture(Heads(kind), (torch.randn(2, 2, 3, 3),))
    assert graph.twin is not None
    both = advance(graph, "insert_fake_quant", passes()).graph
    assert both.twin is not None
    training, inference = scales(both), scales(both.twin)
    assert set(inference.values()) <= set(training.values())
    assert inference.items() <= training.items()
    assert len({training[name] for name in training if name.startswith("conv2d") and name != "conv2d"}) == 1


class Weighted(nn.Module):
    """A convolution times a constant of some shape."""

    def __init__(self, *sizes: int) -> None:
        super().__init__()
        self.conv, self.factor = nn.Conv2d(3, 4, 1), nn.Parameter(torch.rand(sizes))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv(x) * self.factor
        return y


@pytest.mark.parametrize(
    ("sizes", "rounded"), [((), False), ((4, 1, 1), False), ((1, 4, 1, 1), False), ((5,), True), ((4, 5, 5), True)]
)
def test_a_factor_for_each_position_is_no_layers(sizes: tuple[int, ...], rounded: bool) -> None:
    graph = capture(Weighted(*sizes), (torch.randn(2, 3, 5, 5),), verify=False)
    graph = advance(graph, "insert_fake_quant", passes()).graph
    (product,) = [node for node in graph.nodes if node.target is aten.mul.Tensor]
    assert any(operand.target is own.fake_quantize.default for operand in product.all_input_nodes) is rounded
