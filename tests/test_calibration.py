"""Calibration without training: each method beside a second statement of what it sets a scale to."""

from __future__ import annotations

import lowbit
import numpy as np
import pytest
import torch
from lowbit.api import passes
from lowbit.compiler.errors import UserError
from lowbit.compiler.graph import arguments
from lowbit.compiler.prepared import Prepared
from lowbit.compiler.recipe import dump, parse
from torch import Tensor, nn

own = torch.ops.lowbit

RECIPE = """
name = "calibrated"
summary = "one grid of each sign"
{key}
[[prepare]]
use = "insert_fake_quant"
activations = "{quantizer}"
activation_bits = 4
input_bits = 5
"""


def prepared(key: str = "", quantizer: str = "learned") -> Prepared:
    torch.manual_seed(0)
    model = nn.Sequential(nn.ReLU(), nn.Linear(6, 2)).double()
    recipe = parse(RECIPE.format(key=key, quantizer=quantizer), passes())
    return lowbit.prepare(model, (torch.randn(4, 6, dtype=torch.float64),), recipe)


def scales(ours: Prepared) -> dict[str, float]:
    """Name of the edge -> its scale."""
    graph = ours.graph
    fixed = graph.constants()
    grids = [node for node in graph.nodes if node.target is own.fake_quantize.default and node not in fixed]
    return {arguments(g)["x"].name: float(graph.evaluate(arguments(g)["scale"]).detach()) for g in grids}


def batches() -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(500, 6, generator=generator, dtype=torch.float64) * (i + 1) for i in range(3)]


def ends(name: str) -> list[tuple[float, float]]:
    """The least and the largest value of each batch at an edge."""
    arriving = [batch if name == "input_1" else batch.clamp(min=0) for batch in batches()]
    return [(float(x.min()), float(x.max())) for x in arriving]


@pytest.mark.parametrize(("name", "lo", "hi"), [("input_1", -16, 15), ("relu", 0, 15)])
def test_minmax_reaches_both_ends(name: str, lo: int, hi: int) -> None:
    ours = prepared()
    lowbit.calibrate(ours, batches(), method="minmax")
    least, most = min(a for a, _ in ends(name)), max(b for _, b in ends(name))
    expected = max(most / hi, least / lo if lo else 0)
    assert scales(ours)[name] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("name", "lo", "hi"), [("input_1", -16, 15), ("relu", 0, 15)])
def test_a_moving_average_follows_the_batches(name: str, lo: int, hi: int) -> None:
    ours = prepared()
    lowbit.calibrate(ours, batches(), method="moving_average")
    (a0, b0), (a1, b1), (a2, b2) = ends(name)
    least, most = (0.81 * x + 0.09 * y + 0.1 * z for x, y, z in ((a0, a1, a2), (b0, b1, b2)))
    assert scales(ours)[name] == pytest.approx(max(most / hi, least / lo if lo else 0), rel=1e-12)


def test_a_percentile_leaves_one_in_ten_thousand_out() -> None:
    ours = prepared()
    lowbit.calibrate(ours, batches(), method="percentile")
    values = torch.cat(batches()).abs().numpy()
    found = scales(ours)
    assert found["input_1"] * 16 == pytest.approx(float(np.sort(values, axis=None)[-2]) * 16 / 15, rel=1e-12)
    assert found["relu"] * 15 == pytest.approx(
        float(np.sort(torch.cat(batches()).clamp(min=0).numpy(), axis=None)[-2]), rel=1e-12
    )


def test_the_least_mean_square_error_beats_the_others() -> None:
    errors = {}
    x = torch.cat(batches())
    for method in ("mse", "minmax", "percentile", "moving_average"):
        ours = prepared()
        lowbit.calibrate(ours, batches(), method=method)
        step = scales(ours)["input_1"]
        errors[method] = float(((x / step + 0.5).floor().clamp(-16, 15) * step - x).square().mean())
    assert min(errors, key=errors.__getitem__) == "mse"
    assert len(set(errors.values())) == 4


@pytest.mark.parametrize("quantizer", ["learned", "lsq", "pact"])
def test_every_trained_scale_is_set(quantizer: str) -> None:
    """Whatever the parameter behind it is: an exponent, the scale itself, or the level where it clips."""
    ours = prepared(quantizer=quantizer)
    lowbit.calibrate(ours, batches(), method="minmax")
    assert scales(ours)["relu"] == pytest.approx(max(b for _, b in ends("relu")) / 15, rel=1e-12)


def test_a_power_of_two_is_next_to_the_best() -> None:
    ours = prepared(quantizer="power_of_two")
    lowbit.calibrate(ours, batches(), method="minmax")
    wanted = np.log2(max(b for _, b in ends("relu")) / 15)
    assert np.log2(scales(ours)["relu"]) == np.floor(wanted + 0.5)


def test_scales_that_are_given_stay() -> None:
    ours = prepared(quantizer="dorefa")
    lowbit.calibrate(ours, batches(), method="minmax")
    assert scales(ours)["relu"] == 1 / 15


def test_zeros_alone_have_a_scale() -> None:
    for method in ("mse", "minmax", "percentile", "moving_average"):
        ours = prepared()
        lowbit.calibrate(ours, [torch.zeros(3, 6, dtype=torch.float64)], method=method)
        assert all(0 < scale <= 1 for scale in scales(ours).values())


def test_a_recipe_says_how() -> None:
    recipe = parse(RECIPE.format(key='calibration = "minmax"', quantizer="learned"), passes())
    assert parse(dump(recipe), passes()) == recipe
    ours, told = prepared('calibration = "minmax"'), prepared()
    lowbit.calibrate(ours, batches())
    lowbit.calibrate(told, batches(), method="minmax")
    assert scales(ours) == scales(told)


def test_an_unknown_method_is_refused() -> None:
    with pytest.raises(UserError, match="no method of calibration is called 'best'"):
        lowbit.calibrate(prepared(), batches(), method="best")
    with pytest.raises(UserError, match="no method of calibration is called 3"):
        parse(RECIPE.format(key="calibration = 3", quantizer="learned"), passes())


def test_norms_that_met_no_data_take_the_statistics_of_the_batch() -> None:
    """A new network is calibrated to what it will train on: in eval mode its deep layers would be next to nothing."""
    torch.manual_seed(0)
    blocks = [part for _ in range(8) for part in (nn.Conv2d(4, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU())]
    model = nn.Sequential(*blocks).double()
    x = 1e-3 * torch.randn(8, 4, 20, 20, dtype=torch.float64)
    ours = lowbit.prepare(model, (x,), "choi2020", steps=10)
    last = [parameter for name, parameter in ours.named_parameters() if ".scales.activations." in name][-1]
    trained = model.train()(x)
    assert 0.5 * trained.max() < 2**16 * torch.exp2(last) < 2 * trained.max()
    means = [buffer for name, buffer in ours.named_buffers() if name.endswith("running_mean")]
    assert len(means) == 8
    assert not any(bool(mean.any()) for mean in means)
