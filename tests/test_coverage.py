"""Coverage: it agrees with the lowering on what can be lowered, and goes on where that stops."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from lowbit import api
from lowbit.backends.lowering.coverage import Covered, coverage
from lowbit.backends.lowering.heirs import marked
from lowbit.backends.lowering.lower import lower
from lowbit.cli import stages
from lowbit.compiler.capture import capture
from lowbit.compiler.errors import Unsupported
from lowbit.compiler.graph import Graph, origin
from lowbit.compiler.modes import evaluated
from lowbit.compiler.pipeline import run
from lowbit.compiler.sketches.sketch import build
from lowbit.compiler.text import target_name
from lowbit.testing.nets import drawn
from torch import Tensor, nn


class Net(nn.Module):
    """Two convolutions, a norm and a linear, used as a function says."""

    def __init__(self, function: Callable[[Net, Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function
        self.first, self.second = nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 3, 3, padding=1)
        self.norm, self.drop = nn.BatchNorm2d(3), nn.Dropout(0.1)

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self, x)


def plain(m: Net, x: Tensor) -> Tensor:
    return m.second(m.drop(F.relu(m.norm(m.first(x)))))


def with_sums(m: Net, x: Tensor) -> Tensor:
    return m.second(m.norm(m.first(x)).cumsum(1)) + x


def behind_sums(m: Net, x: Tensor) -> Tensor:
    return m.second(F.max_pool2d(m.first(x).cumsum(1), 3, 1, 1).relu())


def changed_elsewhere(m: Net, x: Tensor) -> Tensor:
    y = m.first(x)
    return m.second(F.relu(m.drop(y), inplace=True)) + y


def quotient(m: Net, x: Tensor) -> Tensor:
    y = m.first(x)
    return torch.div(y, y - 1, rounding_mode="floor")


def overflowing(m: Net, x: Tensor) -> Tensor:
    return m.second((m.first(x) * 0).log().cumsum(1))


def twice(m: Net, x: Tensor) -> Tensor:
    return m.norm(m.first(x)) + m.norm(m.first(x.cumsum(1)))


def otherwise(m: Net, x: Tensor) -> Tensor:
    return m.first(x).cumsum(1) if m.training else m.second(F.relu(m.first(x)))


def fates(function: Callable[[Net, Tensor], Tensor], verify: bool = False) -> tuple[list[tuple[str, str, str]], str]:
    """(operator, status, why) of each call, and the doubt."""
    torch.manual_seed(0)
    x = torch.randn(2, 3, 8, 8)
    found, doubt = stages.covered(capture(Net(function), (x,), verify=verify), "choi2020", (x,))
    return [(target_name(c.node.target), c.status, c.why) for c in found], doubt


def test_what_is_lowered_is_integer_or_folded() -> None:
    calls, doubt = fates(plain)
    assert [(op, status) for op, status, _ in calls] == [
        ("conv2d", "integer"),
        ("batch_norm", "folded"),
        ("relu", "folded"),
        ("dropout", "folded"),
        ("conv2d", "integer"),
    ]
    assert not doubt


def test_a_call_behind_an_unsupported_one_is_judged_by_itself() -> None:
    calls, _ = fates(with_sums)
    assert [(op, status) for op, status, _ in calls] == [
        ("conv2d", "integer"),
        ("batch_norm", "folded"),
        ("cumsum", "unsupported"),
        ("conv2d", "integer"),
        ("add.Tensor", "integer"),
    ]
    assert {op: why for op, _, why in calls}["cumsum"] == "no lowering rule takes it"


def test_a_norm_that_is_used_twice_is_folded_twice() -> None:
    calls, _ = fates(twice)
    assert sorted((op, status) for op, status, _ in calls) == [
        ("add.Tensor", "integer"),
        *[("batch_norm", "folded")] * 2,
        *[("conv2d", "integer")] * 2,
        ("cumsum", "unsupported"),
    ]


def test_the_reason_of_a_rule_is_kept() -> None:
    assert ("div.Tensor_mode", "unsupported", "it rounds a quotient of two values") in fates(quotient)[0]


def test_a_tensor_changed_under_another_name_is_named() -> None:
    assert ("relu_", "unsupported", "it changes a tensor in place that is read elsewhere too") in fates(
        changed_elsewhere
    )[0]


def test_where_the_recipe_cannot_be_used_calls_are_judged_by_their_kind() -> None:
    calls, doubt = fates(overflowing)
    assert "calibration met infinity" in doubt
    assert [status for op, status, _ in calls if op == "conv2d"] == ["integer", "integer"]
    assert [why for op, _, why in calls if op == "cumsum"] == ["no lowering rule takes it"]


def test_it_is_eval_mode_that_is_covered() -> None:
    """Which computes something else than training."""
    calls, _ = fates(otherwise, verify=True)
    assert [(op, status) for op, status, _ in calls] == [
        ("conv2d", "integer"),
        ("relu", "folded"),
        ("conv2d", "integer"),
    ]


def test_the_captured_graph_is_left_alone() -> None:
    graph = capture(Net(plain), (torch.randn(2, 3, 8, 8),), verify=False)
    before = {node.name: origin(node) for node in graph.nodes}
    marked(graph)
    assert {node.name: origin(node) for node in graph.nodes} == before


def _judged(graph: Graph) -> tuple[list[Covered], Graph]:
    start = marked(graph)
    recipe = api.read_recipe("choi2020")
    deployed = run(evaluated(run(start, recipe.prepare, 10).graph), recipe.lower).graph
    return coverage(evaluated(start), deployed), deployed


@pytest.mark.parametrize("sketch", drawn())
def test_nothing_is_unsupported_exactly_where_the_graph_can_be_lowered(sketch: str) -> None:
    found, deployed = _judged(build(sketch))
    refused = [covered for covered in found if covered.status == "unsupported"]
    assert all(covered.why for covered in found if covered.status != "integer")
    try:
        lower(deployed)
    except Unsupported:
        assert refused
    else:
        assert not refused
