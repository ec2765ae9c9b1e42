"""The pass `rate` and its estimate: bits that are nearly the coder's, choices that cost less and stay near."""

from __future__ import annotations

import lowbit
import numpy as np
import pytest
import torch
from codec_edges import bell, rows, sparse
from lowbit.api import passes
from lowbit.backends.codec import Words, codecs
from lowbit.compiler.graph import Graph, arguments
from lowbit.compiler.layers import is_layer
from lowbit.compiler.modes import evaluated
from lowbit.compiler.pipeline import Use, run
from lowbit.compiler.rates import estimate, rates
from lowbit.compiler.recipe import parse
from lowbit.compiler.sensitivity import LEAST, felt
from lowbit.passes import rate
from lowbit.recipes import described
from lowbit.testing import graph
from torch import fx

DRAWN = {
    "rows": rows(40, 120),
    "sparse": sparse(20_000, 0.9).reshape(100, 200),
    "even": bell(20_000, 3, 7).reshape(100, 200),
}


@pytest.mark.parametrize("name", DRAWN)
def test_the_estimate_is_near_what_the_coder_takes(name: str) -> None:
    values: Words = DRAWN[name]
    size = len(codecs()["rans" if name == "even" else "cm"].encode(values))
    assert estimate(torch.from_numpy(values)) == pytest.approx(size, rel=0.12)


def test_a_magnitude_that_is_rare_or_new_is_dear() -> None:
    codes = torch.tensor([[0] * 50 + [1] * 10 + [-2]])
    known = rates(codes)
    told = [float(known.of(torch.full_like(codes, value)).sum()) for value in (0, 1, 2, 3)]
    assert told == sorted(told)
    assert told[3] == float(known.of(torch.full_like(codes, -9)).sum())


@pytest.mark.parametrize("codes", [torch.zeros(0), torch.zeros(3, 0), torch.tensor(2), torch.zeros(4, 5)])
def test_what_holds_nothing_costs_next_to_nothing(codes: torch.Tensor) -> None:
    assert estimate(codes) < 1


def steps(price: float, reach: float = 0.75) -> tuple[torch.Tensor, torch.Tensor]:
    """Weights in steps, and the integers chosen for them."""
    drawn = torch.from_numpy(np.random.default_rng(1).normal(0, 2, (60, 50)) * np.linspace(0.2, 1.5, 50))
    drawn[:5] = 0
    return drawn, rate.choose(drawn, -7, 7, price, reach)


def test_without_a_price_it_is_the_nearest() -> None:
    drawn, codes = steps(0.0)
    assert torch.equal(codes, (drawn + 0.5).floor().clamp(-7, 7))


@pytest.mark.parametrize("reach", [0.6, 0.9])
def test_the_dearer_a_bit_the_fewer_and_none_strays(reach: float) -> None:
    sizes = []
    for price in (0.0, 0.05, 0.3):
        drawn, codes = steps(price, reach)
        assert float((codes - drawn.clamp(-7, 7)).abs().max()) <= reach
        assert not codes[:5].any()
        sizes.append(len(codecs()["cm"].encode(codes.numpy().astype(np.int64))))
    assert sizes[0] > sizes[1] > sizes[2]


def test_what_is_clipped_stays_where_it_is() -> None:
    line = "conv(3) | insert_fake_quant(weight_bits=2) | eval"
    before, after = graph(line), graph(f"{line} | rate")
    grids = [next(node for node in one.nodes if node.name == "fake_quantize_default") for one in (before, after)]
    weight, moved = (one.evaluate(arguments(grid)["x"]) for one, grid in zip((before, after), grids, strict=True))
    far = weight.abs() > before.evaluate(arguments(grids[0])["scale"])
    assert far.any()
    assert torch.equal(moved[far], weight[far])
    assert not torch.equal(moved, weight)


class Two(torch.nn.Module):
    """Two layers of the same weights, the first of which counts ten times."""

    def __init__(self, factor: float = 10.0) -> None:
        super().__init__()
        self.a, self.b, self.factor = torch.nn.Linear(16, 40), torch.nn.Linear(16, 40), factor
        self.b.load_state_dict(self.a.state_dict())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.factor * self.a(x) + self.b(x)


def quantized(factor: float) -> Graph:
    """It with grids, calibrated, in eval mode."""
    torch.manual_seed(0)
    x = torch.randn(8, 16)
    three = described("ptq8").text.replace("weight_bits = 8", "weight_bits = 3")
    prepared = lowbit.prepare(Two(factor).eval(), (x,), parse(three, passes()))
    lowbit.calibrate(prepared, [x])
    return evaluated(prepared.graph)


def grids(of: Graph) -> list[fx.Node]:
    return [arguments(node)["weight"] for node in of.nodes if is_layer(node)]


def shares(factor: float) -> list[float]:
    """How much both layers are felt."""
    found = quantized(factor)
    return [felt(found, grids(found))[grid] for grid in grids(found)]


def test_what_counts_ten_times_is_felt_a_hundred_times() -> None:
    loud, quiet = shares(10.0)
    assert loud / quiet == pytest.approx(100, rel=0.1)
    assert loud + quiet == pytest.approx(2)  # as many weights: the mean is 1
    assert shares(10.0) == [loud, quiet]


def test_a_layer_that_is_not_felt_keeps_a_least_share() -> None:
    assert shares(0.0)[0] == LEAST


def test_bits_are_saved_where_they_are_felt_less() -> None:
    before, moved = quantized(10.0), list[list[int]]()
    for sensitive in (False, True):
        use = Use("rate", rate.PASS, rate.Settings(price=0.3, sensitive=sensitive))
        after = run(before, (use,)).graph
        pairs = zip(grids(before), grids(after), strict=True)
        moved.append([int((before.evaluate(one) != after.evaluate(other)).sum()) for one, other in pairs])
    (loud, quiet), (loud_sensitive, quiet_sensitive) = moved
    assert loud_sensitive < loud
    assert quiet_sensitive > quiet
