"""The pass `rate` and its estimate: bits that are nearly the coder's, choices that cost less and stay near."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from codec_edges import bell, rows, sparse
from lowbit.backends.codec import Words, codecs
from lowbit.compiler.graph import arguments
from lowbit.compiler.rates import estimate, rates
from lowbit.passes import rate
from lowbit.testing import graph

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
