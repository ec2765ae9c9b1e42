"""The normal form where sketches cannot reach: several inputs, autocast, signed zeros, batches of one, odd paddings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from lowbit.api import passes
from lowbit.compiler.capture import capture
from lowbit.compiler.graph import Graph
from lowbit.compiler.prepared import Prepared
from lowbit.compiler.recipe import Recipe
from lowbit.compiler.sketches.trial import advance
from torch import Tensor, nn

PLAIN = Recipe("plain", "no pass at all", (), ())


class Function(nn.Module):
    """A function of the inputs behind a product with a parameter, so that gradients flow."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function
        self.gain = nn.Parameter(torch.tensor(1.5))

    def forward(self, x: Tensor, *others: Tensor) -> Any:
        return self.function(self.gain * x, *others)


class Two(Function):
    """The same of two inputs."""

    def forward(self, x: Tensor, mask: Tensor) -> Any:  # type: ignore[override]
        return self.function(self.gain * x, mask)


def normalized(model: nn.Module, *inputs: Tensor) -> tuple[Graph, set[str]]:
    """The normal form of a model, and every reason for which a rule refused."""
    result = advance(capture(model, inputs, verify=False), "normalize", passes())
    return result.graph, {event.reason for event in result.ledger[0].events}


def calls(graph: Graph) -> list[str]:
    return [str(node.target).removeprefix("aten.") for node in graph.nodes if node.op == "call_function"]


def test_a_cast_to_a_device_stays_where_inputs_may_lie_on_several() -> None:
    moving = Two(lambda x, mask: x * mask.to(x.device))
    graph, reasons = normalized(moving, torch.randn(2, 3), torch.ones(2, 3, dtype=torch.int64))
    assert "the inputs may come from several devices" in reasons
    assert "to.dtype_layout" in calls(graph)


def test_a_cast_under_autocast_does_what_it_says() -> None:
    model = nn.Sequential(nn.Linear(4, 4), Function(lambda x: x.to(torch.float32).square().sum(-1)))
    x = torch.randn(2, 4)
    ours = Prepared(normalized(model, x)[0], PLAIN)
    with torch.autocast("cpu", torch.bfloat16):
        assert ours(x).dtype == model(x).dtype == torch.float32
        assert torch.equal(ours(x), model(x))


def test_the_sign_of_a_zero_stays() -> None:
    """1 / (x + 0) is inf at -0.0, and 1 / (x - 0) is -inf."""
    for shifted in (lambda x: 1 / (x * -1 + 0), lambda x: 1 / (x * -1 - 0)):
        model = Function(shifted)
        ours = Prepared(normalized(model, torch.ones(2, 3))[0], PLAIN)
        assert torch.equal(ours(torch.zeros(2, 3)), model(torch.zeros(2, 3)))


@pytest.mark.parametrize("function", [lambda x: x.unsqueeze(1).squeeze(1), lambda x: x.flatten(1).unsqueeze(0)[0]])
def test_a_batch_of_one_keeps_its_axis(function: Callable[[Tensor], Tensor]) -> None:
    model = Function(function)
    ours = Prepared(normalized(model, torch.randn(2, 3, 4))[0], PLAIN)
    for size in (1, 5):
        x = torch.randn(size, 3, 4)
        assert torch.equal(ours(x), model(x))


def test_sizes_read_from_the_batch_are_gone() -> None:
    graph, _ = normalized(Function(lambda x: x.view(x.size(0), -1).view(x.size(0), 2, -1)), torch.randn(2, 3, 4))
    assert calls(graph) == ["mul.Tensor", "reshape.default"]


@pytest.mark.parametrize("kernel", [(1, 2), (2, 5), (4, 4), (3, 6)])
@pytest.mark.parametrize("dilation", [1, 2, 3])
@pytest.mark.parametrize("padding", ["same", "valid"])
def test_padding_in_words(kernel: tuple[int, int], dilation: int, padding: str) -> None:
    model = nn.Conv2d(2, 3, kernel, dilation=dilation, padding=padding).train()
    x = torch.randn(2, 2, 17, 19)
    graph, _ = normalized(model, x)
    assert "conv2d.padding" not in calls(graph)
    ours = Prepared(graph, PLAIN)
    mine, theirs = ours(x), model(x)
    assert torch.equal(mine, theirs)
    mine.square().sum().backward()
    theirs.square().sum().backward()
    assert torch.equal(ours.get_parameter("weight").grad, model.weight.grad)


def test_an_output_is_no_alias_of_an_input() -> None:
    class Copy(nn.Module):
        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return x.clone(), x * 1

    ours = Prepared(normalized(Copy(), torch.ones(2, 3))[0], PLAIN)
    x = torch.ones(2, 3)
    for made in ours(x):
        made.zero_()
    assert torch.equal(x, torch.ones(2, 3))


def test_dropout_that_never_drops_goes_and_others_stay() -> None:
    idle = Function(lambda x: F.dropout(F.alpha_dropout(x, 0.0, True), 0.5, False).sin())
    assert calls(normalized(idle, torch.randn(2, 3))[0]) == ["mul.Tensor", "sin.default"]
    active = Function(lambda x: F.dropout(x, 0.5, True).sin())
    assert "dropout.default" in calls(normalized(active, torch.randn(2, 3))[0])


def test_a_parameter_keeps_its_detach_and_a_constant_does_not() -> None:
    graph, reasons = normalized(Function(lambda x: x * x.detach()), torch.randn(2, 3))
    assert "detach.default" in calls(graph)
    assert "it cuts a gradient" in reasons
    graph, _ = normalized(Function(lambda x: x * (x > 0).long().detach()), torch.randn(2, 3))
    assert "detach.default" not in calls(graph)


def test_only_neutral_numbers_go() -> None:
    graph, _ = normalized(Function(lambda x: (((x * 2 - 1) / 4) * 1 / 1 - 0).sin()), torch.randn(2, 3))
    assert calls(graph) == ["mul.Tensor", "mul.Tensor", "sub.Tensor", "div.Tensor", "sin.default"]
