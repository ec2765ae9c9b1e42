"""Models that would lower to wrong integers are refused with their line, and their honest neighbours are not."""

from __future__ import annotations

from collections.abc import Callable

import lowbit
import pytest
import torch
import torch.nn.functional as F
from lowbit import api
from lowbit.compiler.capture import capture
from lowbit.compiler.recipe import parse
from lowbit.compiler.sketches.trial import advance
from torch import Tensor, nn


class Model(nn.Module):
    """Two convolutions of 3 channels around a given function of (model, x)."""

    def __init__(self, function: Callable[[Model, Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function
        self.first, self.second = nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 3, 3, padding=1)
        self.drop, self.mix = nn.Dropout(0.1), nn.Linear(8, 8)
        self.route, self.bank = nn.Linear(3, 2), nn.Parameter(torch.randn(2, 81))

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self, x)


def behind_dropout(m: Model, x: Tensor) -> Tensor:
    y = m.first(x)
    return m.second(F.relu(m.drop(y), inplace=True)) + y


def behind_flatten(m: Model, x: Tensor) -> Tensor:
    y = m.first(x)
    y.flatten(1).relu_()
    return m.second(y)


def before_alias_is_read(m: Model, x: Tensor) -> Tensor:
    y = m.first(x)
    alias = y.unsqueeze(1)
    y.relu_()
    return m.second(alias.squeeze(1))


def plain(m: Model, x: Tensor) -> Tensor:
    y = m.first(x)
    y.relu_()
    return m.second(y)


def pooled_rows(m: Model, x: Tensor) -> Tensor:
    return F.max_pool2d(m.mix(x), 3, 1, 1)


def viewed(m: Model, x: Tensor) -> Tensor:
    return m.first(x).view(x.size(0), -1)


def padded(m: Model, x: Tensor) -> Tensor:
    return m.second(F.pad(F.relu(m.first(x)), (1, 0, 2, 1)))


def reshaped_output(m: Model, x: Tensor) -> Tensor:
    return m.first(x).flatten(1)


def converted(m: Model, x: Tensor) -> Tensor:
    return F.relu(m.second(m.first(x.detach()).float())).type_as(x)


def widened(m: Model, x: Tensor) -> Tensor:
    return F.relu(m.first(x)).double()


def weighed_by_the_input(m: Model, x: Tensor) -> Tensor:
    """As CondConv: each sample has a weight of its own, and the batch becomes groups."""
    batch = x.shape[0]
    weight = torch.matmul(m.route(x.mean((2, 3))), m.bank).view(batch * 3, 3, 3, 3)
    y = F.conv2d(m.first(x).view(1, batch * 3, 8, 8), weight, padding=1, groups=batch)
    return m.second(y.view(batch, 3, 8, 8))


def deployed(function: Callable[[Model, Tensor], Tensor], options: str = "") -> tuple[Tensor, Tensor]:
    """(output of the prepared module, output of its integer program) on the same batch."""
    torch.manual_seed(0)
    x = torch.randn(8, 3, 8, 8)
    recipe = parse(f'name = "one"\n[[prepare]]\nuse = "insert_fake_quant"\n{options}', api.passes())
    prepared = lowbit.prepare(Model(function).eval(), (x,), recipe)
    with torch.no_grad():
        simulated = prepared(x)
    return simulated, torch.as_tensor(lowbit.lower(prepared).run(x)[0])


@pytest.mark.parametrize("function", [behind_dropout, behind_flatten])
def test_a_tensor_changed_under_another_name_is_refused(function: Callable[[Model, Tensor], Tensor]) -> None:
    with pytest.raises(lowbit.Unsupported, match="read elsewhere"):
        deployed(function)


def test_weights_that_are_computed_from_the_input_are_refused() -> None:
    """With the user's line, before any training."""
    with pytest.raises(lowbit.Unsupported, match="batch as its first axis") as caught:
        deployed(weighed_by_the_input)
    assert "groups=batch" in caught.value.where
    assert "each sample" in caught.value.fix


def test_passes_leave_the_batch_of_computed_weights_free() -> None:
    graph = capture(Model(weighed_by_the_input).eval(), (torch.randn(2, 3, 8, 8),))
    for stage in ("insert_fake_quant", "correct_bias"):
        graph = advance(graph, stage, api.passes()).graph
    (y,), *_ = graph.module()(torch.randn(5, 3, 8, 8))
    assert y.shape == (5, 3, 8, 8)


@pytest.mark.parametrize("options", ["", "per_channel = true"])
@pytest.mark.parametrize(
    "function", [plain, before_alias_is_read, pooled_rows, viewed, padded, reshaped_output, converted]
)
def test_an_honest_neighbour_is_lowered(function: Callable[[Model, Tensor], Tensor], options: str) -> None:
    """Within one step of the 8-bit activations in front of the output, whose own grid has 16 bits."""
    simulated, integers = deployed(function, options)
    assert (simulated - integers).abs().max() <= simulated.abs().max() / 100


def test_a_conversion_to_another_type_is_refused() -> None:
    with pytest.raises(lowbit.Unsupported, match=r"to\.dtype cannot") as caught:
        deployed(widened)
    assert "converts torch.float32 to torch.float64" in caught.value.why


def test_not_a_number_in_calibration_is_named() -> None:
    prepared = lowbit.prepare(Model(plain), (torch.randn(2, 3, 8, 8),), "choi2020", steps=1)
    with pytest.raises(lowbit.UserError, match="not-a-number"):
        lowbit.calibrate(prepared, [torch.full((2, 3, 8, 8), torch.nan)])


def test_calibration_leaves_the_data_alone() -> None:
    model, x = nn.Sequential(nn.ReLU(inplace=True), nn.Conv2d(3, 2, 1)), torch.randn(2, 3, 4, 4)
    before = x.clone()
    prepared = lowbit.prepare(model, (x,), "choi2020", steps=1)
    lowbit.calibrate(prepared, [x])
    assert torch.equal(x, before)


@pytest.mark.parametrize(
    ("options", "reason"),
    [('layers."first" = { sparsity = 0.1 }', "sparsities of their own"), ('layers."first" = { begin = 0.1 }', "all")],
)
def test_options_that_cannot_differ_by_layer_are_refused(options: str, reason: str) -> None:
    recipe = f'name = "one"\n[[prepare]]\nuse = "schedule_pruning"\n{options}\n'
    with pytest.raises(lowbit.UserError, match=reason):
        lowbit.prepare(Model(plain), (torch.randn(2, 3, 8, 8),), parse(recipe, api.passes()), steps=10)
