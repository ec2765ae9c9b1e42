"""Opaque leaves: the graph calls what a recipe keeps out of it, and trains as the model does."""

from __future__ import annotations

import copy
import types
from typing import Any

import lowbit
import pytest
import torch
import torch.nn.functional as F
from captured import same, twins
from lowbit.compiler.capture import capture
from lowbit.compiler.errors import LowbitError, Unsupported, UserError
from lowbit.compiler.text import described, text
from torch import Tensor, nn


class Odd(nn.Module):
    """What torch.export cannot record: a branch on values, a norm that counts in Python, and a result of many parts."""

    def __init__(self) -> None:
        super().__init__()
        self.lin, self.norm = nn.Linear(4, 6), nn.BatchNorm1d(6, momentum=None)

    def forward(self, x: Tensor, shift: Tensor | None = None, *, scale: int = 1) -> dict[str, Any]:
        y = self.norm(self.lin(x)) * scale
        if y.sum() > 0:
            y = y * 2
        return {"y": y if shift is None else y + shift, "count": 3, "more": (x.T, torch.cat([x, x]))}


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.part, self.last = nn.Linear(4, 4), nn.ModuleDict({"odd": Odd()}), nn.Linear(6, 2)
        self.drop = nn.Dropout(0.3)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        odd = self.part["odd"]
        a = odd(self.first(x), scale=2)
        b = odd(x, a["y"] * a["count"])
        return self.last(self.drop(b["y"])), a["more"][0].sum(0) + b["more"][1][: x.shape[0], 0]


@pytest.mark.parametrize("pattern", ["part.odd", "part.*", "*odd", "part*"])
def test_a_leaf_trains_in_place(pattern: str) -> None:
    model, ours = twins(Model(), (torch.randn(3, 4),), [pattern])
    assert ours.graph.leaves.keys() == {"part.odd"}
    assert ours.state_dict().keys() == model.state_dict().keys()
    same(model, ours, (torch.randn(5, 4),), (torch.randn(2, 4),), (torch.randn(3, 4),))


class Widths(nn.Module):
    """One leaf between layers of two widths."""

    def __init__(self) -> None:
        super().__init__()
        self.narrow, self.wide, self.odd, self.last = nn.Linear(4, 3), nn.Linear(4, 6), nn.ReLU(), nn.Linear(9, 2)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.last(torch.cat([self.odd(self.narrow(x)), self.odd(self.wide(x))], 1))
        return y


def test_each_call_of_a_leaf_has_its_own_shapes() -> None:
    same(*twins(Widths(), (torch.randn(3, 4),), ["odd"]), (torch.randn(5, 4),))


def test_a_leaf_whose_forward_is_its_own_keeps_it() -> None:
    model = Widths()
    forward = model.odd.forward = types.MethodType(lambda self, x: x.square(), model.odd)
    same(*twins(model, (torch.randn(3, 4),), ["odd"]), (torch.randn(5, 4),))
    assert model.odd.forward is forward


class Shared(nn.Module):
    """A leaf whose weight is also read beside it."""

    def __init__(self) -> None:
        super().__init__()
        self.part, self.last = Odd(), nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.last(self.part(x)["y"] + F.linear(x, self.part.lin.weight))
        return y


def test_a_weight_of_a_leaf_may_be_read_beside_it() -> None:
    model, ours = twins(Shared(), (torch.randn(3, 4),), ["part"])
    assert ours.state_dict().keys() == model.state_dict().keys()
    assert ours.get_parameter("part.lin.weight") is ours.get_submodule("part").lin.weight
    same(model, ours, (torch.randn(5, 4),), (torch.randn(2, 4),))


def test_a_copy_has_a_leaf_of_its_own() -> None:
    _, ours = twins(Model(), (torch.randn(3, 4),), ["part.odd"])
    x = torch.randn(4, 4)
    before, twin = ours.eval()(x), copy.deepcopy(ours)
    twin.train()(x)
    assert not torch.equal(twin.eval()(x)[0], before[0])
    assert torch.equal(ours(x)[0], before[0])


def test_the_tensors_of_a_leaf_are_its_own() -> None:
    graph = capture(Model(), (torch.randn(3, 4),), leaves=["part.odd"])
    assert set(graph.state) == {"first.weight", "first.bias", "last.weight", "last.bias"}


def test_text_and_json_show_the_leaf() -> None:
    graph = capture(Model(), (torch.randn(3, 4),), leaves=["part.odd"])
    assert "leaf part.odd(0=" in text(graph)
    calls = [node for node in described(graph)["nodes"] if node["op"] == "leaf"]
    assert [call["name"] for call in calls] == ["part.odd"] * 2
    assert all("test_leaves.py" in call["source"] for call in calls)


def test_without_the_leaf_the_refusal_offers_it() -> None:
    with pytest.raises(UserError, match="cannot be captured") as caught:
        capture(Model(), (torch.randn(3, 4),))
    assert "leaves" in caught.value.fix


def test_a_pattern_that_fits_nothing() -> None:
    with pytest.raises(UserError, match="matches no module") as caught:
        capture(Model(), (torch.randn(3, 4),), leaves=["part.even"])
    assert "part.odd.norm" in caught.value.fix


class Squared(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.reshape(-1).repeat(x.shape[0])


def test_a_shape_that_does_not_follow_the_batch() -> None:
    with pytest.raises(UserError, match="does not follow") as caught:
        capture(nn.Sequential(nn.Linear(4, 4), Squared()), (torch.randn(2, 4),), leaves=["1"])
    assert "for 2, 3, 4 rows a size is 16, 36, 64" in caught.value.why


RECIPE = """
leaves = ["1"]
[[prepare]]
use = "insert_fake_quant"
"""


def test_a_recipe_names_leaves(tmp_path: Any) -> None:
    path = tmp_path / "leaf.toml"
    path.write_text(RECIPE)
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4, momentum=None), nn.Linear(4, 2))
    with pytest.warns(UserWarning, match="cannot be lowered"):
        ours = lowbit.prepare(model, (torch.randn(3, 4),), path)
    ours(torch.randn(5, 4)).sum().backward()
    assert ours.state_dict()["1.num_batches_tracked"] == 1
    with pytest.raises(Unsupported, match="no integer form") as caught:
        lowbit.lower(ours.eval())
    assert isinstance(caught.value, LowbitError)
    assert "1" in caught.value.where
