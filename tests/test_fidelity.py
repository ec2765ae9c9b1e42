"""The check at capture: a graph that is not the model's is told by what differs, whatever made it so."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
import torch
from lowbit.compiler.capture import capture
from lowbit.compiler.capture.example import Example
from lowbit.compiler.capture.fidelity import Fidelity
from lowbit.compiler.graph import Graph, arguments
from torch import Tensor, nn

_aten = torch.ops.aten
X = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))


def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))


def setting(name: str, value: Any) -> Callable[[Graph], None]:
    """The batch norm with another setting."""

    def change(graph: Graph) -> None:
        (norm,) = graph.fx.find_nodes(op="call_function", target=_aten.batch_norm.default)
        norm.update_arg(list(arguments(norm)).index(name), value)

    return change


def cut(graph: Graph) -> None:
    """No gradient reaches the linear."""
    (linear,) = graph.fx.find_nodes(op="call_function", target=_aten.linear.default)
    with graph.fx.inserting_after(linear):
        detached = graph.fx.call_function(_aten.detach.default, (linear,))
    linear.replace_all_uses_with(detached, delete_user_cb=lambda user: user is not detached)


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (lambda graph: None, ""),
        (setting("eps", 1e-2), "training output 0"),
        (setting("momentum", 0.11), "buffer 1.running_mean"),
        (cut, "the gradient of 0.weight"),
    ],
)
def test_what_differs_is_named(change: Callable[[Graph], None], name: str) -> None:
    graph = capture(model(), (X,), verify=False)
    change(graph)
    assert Fidelity(graph, model(), Example((X,), {})).in_training() == name


class Scaled(nn.Module):
    def __init__(self, factor: Callable[[], float]) -> None:
        super().__init__()
        self.factor, self.lin = factor, nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.lin(x) * self.factor()
        return y


def test_a_draw_that_was_frozen_is_seen() -> None:
    """To what the first seed draws, so that only another one tells."""
    drawn, frozen = Scaled(random.random), Scaled(lambda: random.Random(0).random())
    frozen.load_state_dict(drawn.state_dict())
    graph = capture(frozen, (X,), verify=False)
    assert Fidelity(graph, frozen, Example((X,), {})).in_training() == ""
    assert Fidelity(graph, drawn, Example((X,), {})).in_training() == "training output 0"
