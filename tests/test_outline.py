"""The outline of a graph: sums, outputs, tied parameters, and how it is folded."""

from __future__ import annotations

import lowbit
import pytest
import torch
from lowbit.cli.folding import OWN, SCREEN, Row, folded
from lowbit.compiler.capture import capture
from lowbit.compiler.errors import UserError
from lowbit.compiler.graph import Graph
from lowbit.compiler.inspection.outline import Part, outlined
from torch import Tensor, nn


class Block(nn.Module):
    """A residual linear."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.inner, self.unused = nn.Linear(width, width), nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return x + self.inner(x).relu()


class Net(nn.Module):
    """Equal blocks between two linears that share one weight, and a parameter of the model's own."""

    def __init__(self, blocks: int = 5, width: int = 4) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(width, width, bias=False), nn.Linear(width, width)
        self.last.weight = self.first.weight
        self.blocks = nn.Sequential(*(Block(width) for _ in range(blocks)))
        self.shift = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.last(self.blocks(self.first(x) + self.shift))
        return scores


@pytest.fixture(scope="module")
def net() -> Graph:
    return capture(Net(), (torch.randn(2, 4),), verify=False)


def names(row: Row) -> list[str]:
    return [f"{'  ' * (inner.level - 1)}{inner.name}" for inner in row.walk()]


def test_sums_are_those_of_the_parts_and_tied_parameters_count_once(net: Graph) -> None:
    root = outlined(net)
    parts = {part.path: part for part in root.walk()}
    assert root.parameters == sum(parameter.numel() for parameter in Net().parameters())
    assert (root.calls, root.macs) == (18, 7 * 16)
    assert (parts["blocks"].calls, parts["blocks"].parameters, parts["blocks"].macs) == (15, 5 * 20, 5 * 16)
    assert (parts["blocks.3"].calls, parts["blocks.3"].kind) == (3, "Block")
    assert (parts["last"].parameters, parts["last"].tied) == (4, {"last.weight": "first.weight"})
    for part in root.walk():
        own = sum(item.macs for item in part.items)
        assert part.macs == own + sum(inner.macs for inner in part.parts.values())
        assert part.parameters == part.own + sum(inner.parameters for inner in part.parts.values())


def test_what_a_recipe_adds_stands_with_the_calls_that_read_it() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
    ours = lowbit.prepare(model, (torch.randn(2, 4),), "choi2020", steps=10)
    root = outlined(ours.graph)
    assert "lowbit" not in {part.path for part in root.walk()}
    assert root.parameters == sum(parameter.numel() for parameter in ours.parameters())
    assert root.parts["0"].own > sum(parameter.numel() for parameter in model[0].parameters())


def test_parameters_of_a_leaf_count() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Sequential(nn.Linear(4, 3), nn.ReLU()))
    root = outlined(capture(model, (torch.randn(2, 4),), leaves=["1"]))
    assert (root.parameters, root.parts["1"].parameters) == (20 + 15, 15)
    assert [item.op for item in root.parts["1"].items][:1] == ["leaf Sequential"]


class Headed(nn.Module):
    """A module whose last call is not the one that others read, and whose output goes through a reshape."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.body = nn.BatchNorm1d(6), nn.Sequential(nn.Linear(6, 8), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        return self.body(self.norm(x)).reshape(-1, 2, 4)


def test_an_output_is_the_last_value_that_others_read() -> None:
    parts = {p.path: p for p in outlined(capture(Headed(), (torch.randn(3, 6),), verify=False)).walk()}
    assert {path: part.type for path, part in parts.items()} == {
        "": "float32[N,2,4]",
        "norm": "float32[N,6]",
        "body": "float32[N,8]",
        "body.0": "float32[N,8]",
        "body.1": "float32[N,8]",
    }


def test_equal_neighbours_share_a_row_with_their_sums(net: Graph) -> None:
    root = folded(outlined(net))
    assert names(root) == [OWN, "first", "last", "blocks", "  0..4", f"    {OWN}", "    inner"]
    rows = {row.name: row for row in root.walk() if not row.is_own}
    assert (rows["0..4"].calls, rows["0..4"].parameters, rows["0..4"].macs) == (15, 100, 80)
    assert rows["inner"].label(rows["0..4"]) == "inner"
    assert rows["0..4"].label(rows["blocks"]).endswith("5")


def test_depth_closes_and_patterns_open(net: Graph) -> None:
    outline = outlined(net)
    assert names(folded(outline, 1)) == [OWN, "first", "last", "blocks"]
    opened = folded(outline, 1, ["blocks.2"])
    assert names(opened) == [OWN, "first", "last", "blocks", "  0..1", "  2", "  3..4"]
    (row,) = (row for row in opened.walk() if row.items)
    assert [item.op for item in row.items] == ["linear", "relu", "add.Tensor"]
    assert [row.name for row in folded(outline, 1, ["blocks", "blocks.*"]).walk() if row.items] == ["blocks"]
    with pytest.raises(UserError, match="'block'"):
        folded(outline, 1, ["block"])


def test_a_row_of_its_own_and_the_modules_make_the_whole(net: Graph) -> None:
    for depth in (1, 2, 3):
        root = folded(outlined(net), depth)
        for row in (root, *root.walk()):
            if row.rows:
                assert row.calls == sum(inner.calls for inner in row.rows)
                assert row.macs == sum(inner.macs for inner in row.rows)
                assert row.parameters == sum(inner.parameters for inner in row.rows)


def test_the_depth_that_is_chosen_fills_a_screen_and_no_more() -> None:
    root = Part("")
    for i in range(30):
        part = root.parts.setdefault(f"a{i}x", Part(f"a{i}x", own=i + 1))
        part.parts["b"] = Part(f"a{i}x.b", own=1)
    assert len(list(folded(root).walk())) == 30
    few = Part("", parts=dict(list(root.parts.items())[:5]))
    assert SCREEN >= len(list(folded(few).walk())) == 5 * 3


def test_a_model_without_modules_shows_its_calls() -> None:
    row = folded(outlined(capture(nn.Linear(3, 2), (torch.randn(2, 3),), verify=False)))
    assert [item.op for item in row.items] == ["linear"]
    assert row.parameters == 8
