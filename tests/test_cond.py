"""torch.cond: both sides in one graph, whose outputs and gradients are those of the side that was selected."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from captured import twins
from lowbit.compiler.capture import capture
from lowbit.compiler.errors import UserError
from lowbit.compiler.graph import Graph, origin
from parts import line_of
from sides import same, selected
from torch import Tensor, nn

_aten = torch.ops.aten
pytestmark = pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")


class Model(nn.Module):
    """Computes a function of a layer's output; `limit` moves the conditions."""

    def __init__(self, function: Callable[[Any, Tensor], Any]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.function = function
        self.lin, self.one, self.two = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4)
        self.register_buffer("limit", torch.tensor(0.0))
        self.register_buffer("total", torch.zeros(4))

    def forward(self, x: Tensor) -> Any:
        return self.function(self, self.lin(x))

    def pair(self, x: Tensor) -> Any:
        return self.one(x), {"b": x.sum(0)}


def layers(m: Any, x: Tensor) -> Any:
    return torch.cond(x.sum() > m.limit, m.one, m.two, (x,))


def closures(m: Any, x: Tensor) -> Any:
    y = x * 2
    return torch.cond(x.sum() > m.limit, lambda a: a * y + m.total, lambda a: m.one(a) - y, (x,))


def several(m: Any, x: Tensor) -> Any:
    return torch.cond(x.sum() > m.limit, m.pair, lambda a: (a.cos(), {"b": a.mean(0)}), (x,))


def nested(m: Any, x: Tensor) -> Any:
    def inner(a: Tensor) -> Tensor:
        return torch.cond(a.mean() > m.limit / 10, lambda b: m.two(b).exp(), lambda b: b.tan(), (a,))

    return torch.cond(x.sum() > m.limit, inner, lambda a: inner(a + 1) * 2, (x,))


def quiet(m: Any, x: Tensor) -> Any:
    def side(a: Tensor) -> Tensor:
        with torch.no_grad():
            b = m.one(a)
            with torch.enable_grad():
                c = a.exp()
        return m.one(a) * b + c

    return torch.cond(x.sum() > m.limit, side, lambda a: a.detach() * m.two(a), (x,))


def without_gradients(m: Any, x: Tensor) -> Any:
    with torch.no_grad():
        y = torch.cond(x.sum() > m.limit, lambda a: a.exp(), lambda a: m.one(a), (x,))
    return x * y


def one_element(m: Any, x: Tensor) -> Any:
    return torch.cond(x.sum().reshape(1, 1) > m.limit, lambda a: a.sin(), lambda a: a.cos(), (x,))


def counted(m: Any, x: Tensor) -> Any:
    return torch.cond((x.sum() > m.limit).int(), lambda a: a.sin(), lambda a: a.cos(), (x,))


def batch_size(m: Any, x: Tensor) -> Any:
    return torch.cond(x.shape[0] > 5, lambda a: a.sin(), lambda a: a.cos(), (x,))


def dropout_in_eval(m: Any, x: Tensor) -> Any:
    return torch.cond(x.sum() > m.limit, lambda a: F.dropout(a, 0.5, False), lambda a: a.cos(), (x,))


def half(m: Any, x: Tensor) -> Any:
    with torch.autocast("cpu", torch.bfloat16):
        return torch.cond(x.sum() > m.limit, lambda a: m.one(a), lambda a: m.two(a), (x,))


def constants(m: Any, x: Tensor) -> Any:
    return torch.cond(
        x.sum() > m.limit, lambda a: a + torch.tensor([1.0, 2.0, 3.0, 4.0]), lambda a: a * torch.arange(4), (x,)
    )


def root(m: Any, x: Tensor) -> Any:
    return torch.cond(x.sum() > m.limit, lambda a: (a - a).sqrt() + m.one(a), lambda a: a * 2, (x,))


def negative_root(m: Any, x: Tensor) -> Any:
    return torch.cond(x.sum() > m.limit, lambda a: m.one((a.abs() + 1).neg().sqrt()), lambda a: a * 2, (x,))


def overflow(m: Any, x: Tensor) -> Any:
    def inner(a: Tensor) -> Tensor:
        return torch.cond(a.sum() > m.limit - 2e3, lambda b: (b.abs() * 1e30).square(), lambda b: b * 1, (a,))

    return torch.cond(x.sum() > m.limit, inner, m.one, (x,))


SUPPORTED = [
    layers, closures, several, nested, quiet, without_gradients, one_element, counted, batch_size, dropout_in_eval,
    half, constants,
]  # fmt: skip
POISONED = [root, negative_root, overflow]


@pytest.mark.parametrize("function", [*SUPPORTED, *POISONED])
def test_outputs_and_gradients_are_those_of_the_side_that_was_selected(
    function: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, ours = twins(Model(function), (torch.randn(3, 4),), verify=False)  # which is what follows
    assert not any(isinstance(node.target, torch._ops.HigherOrderOperator) for node in ours.graph.nodes)
    limits = (1e3,) if function in POISONED else (-1e3, 0.1, 1e3)
    same(model, ours, limits[-1], 3)
    monkeypatch.setattr(torch, "cond", selected)
    for limit in limits:
        for rows in (1, 3, 7):
            same(model, ours, limit, rows)


def targets(function: Any) -> list[Any]:
    return [node.target for node in capture(Model(function), (torch.randn(3, 4),), verify=False).nodes]


def test_layers_read_their_weights_themselves() -> None:
    """So that passes see a layer; only sides that could make infinities are shielded."""
    assert targets(layers).count(_aten.where.self) == 1
    assert _aten.detach.default not in targets(layers)
    assert targets(root).count(_aten.where.self) > 1


def test_a_nested_root_is_shielded_by_the_outer_call_too() -> None:
    def both(m: Any, x: Tensor) -> Any:
        def inner(a: Tensor) -> Tensor:
            return torch.cond(a.sum() > m.limit - 2e3, lambda b: (b - b).sqrt(), lambda b: b * 1, (a,))

        return torch.cond(x.sum() > m.limit, inner, m.one, (x,))

    model, ours = twins(Model(both), (torch.randn(3, 4),), verify=False)
    same(model, ours, 1e3, 3)


def test_a_condition_known_at_capture_picks_a_side() -> None:
    def known(m: Any, x: Tensor) -> Any:
        return torch.cond(x.shape[1] > 2, lambda a: a.sin(), lambda a: a.cos(), (x,))

    assert _aten.cos.default not in targets(known)
    assert _aten.where.self not in targets(known)


class Inner(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Sequential(nn.Linear(4, 4), nn.Tanh())

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = torch.cond(x.sum() > 0, self.one, self.other, (x,))
        return y

    def other(self, x: Tensor) -> Tensor:
        y = (x - x).sqrt()
        return self.within(y) * 3

    def within(self, x: Tensor) -> Tensor:
        y: Tensor = torch.cond(
            x.mean() > 0,
            lambda a: self.one[0](a).sin(),
            lambda a: a.cos(),
            (x,),
        )
        return y


def test_calls_of_both_sides_are_of_the_users_line_and_module() -> None:
    graph = capture(nn.Sequential(nn.Linear(4, 4), Inner()), (torch.randn(3, 4),), verify=False)
    found = {(node.target._opname, origin(node).layer, origin(node).source.partition("  ")[0]) for node in calls(graph)}
    outer, inner = (line_of(function, "torch.cond") for function in (Inner.forward, Inner.within))
    expected = [
        ("linear", "1.one.0", outer),
        ("tanh", "1.one.1", outer),
        ("sqrt", "1", line_of(Inner.other, "sqrt")),
        ("mul", "1", line_of(Inner.other, "* 3")),
        ("mean", "1", line_of(Inner.within, "mean")),
        ("linear", "1.one.0", line_of(Inner.within, "sin")),
        ("sin", "1", line_of(Inner.within, "sin")),
        ("cos", "1", line_of(Inner.within, "cos")),
        ("where", "1", inner),
        ("where", "1", outer),
    ]
    assert {(name, layer, line.rpartition("/")[2]) for name, layer, line in expected} <= found
    assert {layer for _, layer, _ in found} == {"0", "1", "1.one.0", "1.one.1"}


def calls(graph: Graph) -> list[Any]:
    return [node for node in graph.nodes if node.op == "call_function"]


def draws(m: Any, x: Tensor) -> Any:
    return torch.cond(x.sum() > m.limit, lambda a: F.dropout(a, 0.5, m.training), lambda a: a * 2, (x,))


def draws_within(m: Any, x: Tensor) -> Any:
    return torch.cond(x.sum() > m.limit, lambda a: a * 2, lambda a: drawn(a), (x,))


def drawn(a: Tensor) -> Any:
    return torch.cond(a.mean() > 0, lambda b: torch.rand_like(b), lambda b: b * 2, (a,))


def writes(m: Any, x: Tensor) -> Any:
    def side(a: Tensor) -> Tensor:
        m.total.add_(1)
        return a * m.total

    return torch.cond(x.sum() > m.limit, side, lambda a: a * 2, (x,))


def writes_quietly(m: Any, x: Tensor) -> Any:
    def side(a: Tensor) -> Tensor:
        m.total.add_(1)
        return a * m.total

    with torch.no_grad():
        y = torch.cond(x.sum() > m.limit, side, lambda a: a * 2, (x,))
    return x * y


def returns_its_input(m: Any, x: Tensor) -> Any:
    return torch.cond(x.sum() > m.limit, lambda a: a[:1], lambda a: a[:1] * 1, (x,))


def shapes(m: Any, x: Tensor) -> Any:
    return torch.cond(x.sum() > m.limit, lambda a: a[:, :2] * 1, lambda a: a[:, :3] * 2, (x,))


def numbers(m: Any, x: Tensor) -> Any:
    return x * torch.cond(x.sum() > m.limit, lambda a: 3, lambda a: 4, (x,))


def size_alone(m: Any, x: Tensor) -> Any:
    return torch.cond(x.shape[0] > 5, m.one, lambda a: a.cos(), (x,))


REFUSED = [
    (size_alone, "gets a gradient only if it is taken", "on both sides"),
    (draws, "draws random numbers", "before torch.cond"),
    (draws_within, "draws random numbers", "before torch.cond"),
    (writes, "changes what it was given", "after torch.cond"),
    (returns_its_input, "returns what it was given", ".clone()"),
    (writes_quietly, "changes what it was given", "after torch.cond"),
    (shapes, "different shapes or types", "the same shape"),
    (numbers, "returns a number", "return tensors"),
]


@pytest.mark.parametrize(("function", "why", "fix"), REFUSED)
def test_what_only_one_side_may_do_is_refused(function: Any, why: str, fix: str) -> None:
    with pytest.raises(UserError) as caught:
        capture(Model(function), (torch.randn(3, 4),))
    assert why in caught.value.why
    assert fix in caught.value.fix
    assert caught.value.where.partition("  ")[0] in (
        line_of(Model.forward, "self.lin"),
        line_of(function, "torch.cond"),
    )
