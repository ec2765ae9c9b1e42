"""Grids and penalties against their definitions: rounding and its ties, gradients in closed form, the best scale."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from lowbit.api import passes
from lowbit.compiler.grid import Grid, along, best_scale, fake_quantize, quantize
from lowbit.testing import graph
from torch import Tensor

_own = torch.ops.lowbit
assert passes()  # the penalties are operators of the passes

grids = st.builds(Grid, st.integers(2, 16), st.booleans(), st.booleans())
exponents = st.integers(-6, 6)
eighths = st.lists(st.integers(-2000, 2000), min_size=1, max_size=30)


def defined(x: Fraction, scale: Fraction, zero: int, grid: Grid) -> int:
    """clamp(floor(x / scale + 1/2) + zero, lo, hi), in exact fractions."""
    return min(max(math.floor(x / scale + Fraction(1, 2)) + zero, grid.lo), grid.hi)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@given(grid=grids, exponent=exponents, values=eighths, zero=st.integers(-3, 3))
def test_rounding_is_the_definition(
    dtype: torch.dtype, grid: Grid, exponent: int, values: list[int], zero: int
) -> None:
    """On eighths of a step, so ties are half-way between integers for the floats too."""
    scale = torch.tensor([2.0**exponent], dtype=dtype)
    x = torch.tensor(values, dtype=dtype) / 8 * scale
    expected = [defined(Fraction(v, 8), Fraction(1), zero, grid) for v in values]
    assert quantize(x, scale, zero, grid.lo, grid.hi).tolist() == expected
    real = fake_quantize(x, scale, zero, grid.lo, grid.hi, 0)
    assert real.tolist() == [(q - zero) * float(scale) for q in expected]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@given(grid=grids.filter(lambda grid: grid.bits <= 8), seed=st.integers(0, 99))
def test_halves_are_rounded_as_what_they_are(dtype: torch.dtype, grid: Grid, seed: int) -> None:
    """Under autocast: bfloat16 has no halves between the integers from 128 on, and no place for x / scale."""
    x = torch.randn(64, generator=torch.Generator().manual_seed(seed)).to(dtype).requires_grad_()
    scale = torch.tensor([2.5 / grid.hi], requires_grad=True)
    real = fake_quantize(x, scale, 0, grid.lo, grid.hi, 0)
    wide = x.detach().float().requires_grad_(), scale.detach().clone().requires_grad_()
    expected = fake_quantize(*wide, 0, grid.lo, grid.hi, 0)
    assert real.dtype == dtype
    assert torch.equal(real, expected.to(dtype))
    real.sum().backward()
    expected.sum().backward()
    assert torch.equal(x.grad, wide[0].grad.to(dtype))
    torch.testing.assert_close(scale.grad, wide[1].grad, rtol=0, atol=64 * grid.hi * 2**-22)  # of 64 products


@pytest.mark.parametrize(("value", "rounded"), [(0.5, 1), (-0.5, 0), (1.5, 2), (-1.5, -1), (2.5, 3)])
def test_ties_go_up(value: float, rounded: int) -> None:
    assert quantize(torch.tensor([value]), torch.ones(1), 0, -8, 7).item() == rounded


@given(axis=st.integers(0, 2), grid=grids)
def test_a_scale_for_each_channel(axis: int, grid: Grid) -> None:
    x = torch.randn(3, 3, 3, generator=torch.Generator().manual_seed(1))
    scale = torch.tensor([0.1, 0.7, 2.0])
    whole = fake_quantize(x, scale, 0, grid.lo, grid.hi, axis)
    for i in range(3):
        one = fake_quantize(x.select(axis, i), scale[i : i + 1], 0, grid.lo, grid.hi, 0)
        assert torch.equal(whole.select(axis, i), one)


def leaves(size: int, channels: int) -> tuple[Tensor, Tensor, Tensor]:
    """Values, scales and an incoming gradient, in float64 and in eighths, so that every sum is exact."""
    generator = torch.Generator().manual_seed(size)
    x, grad = (torch.randint(-40, 40, (channels, size), generator=generator).double() / 8 for _ in range(2))
    return x.requires_grad_(), torch.full((channels,), 0.5, dtype=torch.float64).requires_grad_(), grad


@pytest.mark.parametrize("channels", [1, 4])
@pytest.mark.parametrize("straight", [False, True])
@pytest.mark.parametrize("zero", [0, 2])
def test_gradients_of_rounding(channels: int, straight: bool, zero: int) -> None:
    """1 inside the range and 0 outside, or 1 throughout; for the scale q - zero, less x / scale inside."""
    (x, scale, grad), grid = leaves(50, channels), Grid(4, signed=True)
    fake_quantize(x, scale, zero, grid.lo, grid.hi, 0, straight).backward(grad)
    steps = (x / along(scale, 2, 0)).detach()
    inside = (steps >= grid.lo - zero) & (steps <= grid.hi - zero)
    assert inside.any()
    assert not inside.all()
    assert torch.equal(x.grad, grad if straight else grad * inside)
    slope = quantize(x, scale, zero, grid.lo, grid.hi).detach() - zero - steps * inside
    assert torch.equal(scale.grad, (grad * slope).sum(1))


@pytest.mark.parametrize("channels", [1, 4])
def test_gradients_of_the_mean_square_error(channels: int) -> None:
    """R = mean((x - Q)^2),  dR/dx = 2/N (x - Q),  dR/dscale = 2/N sum (Q - x) q."""
    (x, scale, _), grid = leaves(64, channels), Grid(3, signed=True)
    loss, *_ = _own.msqe([x], [scale], [0], [grid.lo], [grid.hi], [0], [False], [1.0], 0)
    loss.backward(torch.tensor(3.0, dtype=torch.float64))
    q = quantize(x, scale, 0, grid.lo, grid.hi).detach()
    error = (x - q * 0.5).detach()
    torch.testing.assert_close(loss.detach(), error.square().mean(), rtol=2**-50, atol=0)
    torch.testing.assert_close(x.grad, error * 6 / x.numel(), rtol=2**-50, atol=0)
    torch.testing.assert_close(scale.grad, -(error * q).sum(1) * 6 / x.numel(), rtol=2**-46, atol=0)


@pytest.mark.parametrize("scope", ["global", "layer"])
def test_the_partial_square(scope: str) -> None:
    """P = sum of w^2 over the smallest share of the weights, over N; the others feel nothing."""
    generator = torch.Generator().manual_seed(5)
    weights = [torch.randn(n, generator=generator, dtype=torch.float64).requires_grad_() for n in (40, 24)]
    loss, _ = _own.partial_l2(weights, [0.5, 0.25], scope)
    loss.backward()
    flat = torch.cat([w.detach().abs() for w in weights])
    ranks = (
        [sorted(flat.tolist())[31]] * 2
        if scope == "global"
        else [sorted(w.abs().tolist())[rank] for w, rank in zip(weights, (19, 5), strict=True)]
    )
    small = [w.detach() * (w.detach().abs() <= limit) for w, limit in zip(weights, ranks, strict=True)]
    assert sum(int((w != 0).sum()) for w in small) == (32 if scope == "global" else 26)
    torch.testing.assert_close(loss.detach(), sum(w.square().sum() for w in small) / 64, rtol=2**-50, atol=0)
    for w, kept in zip(weights, small, strict=True):
        torch.testing.assert_close(w.grad, kept * 2 / 64, rtol=2**-50, atol=0)


@pytest.mark.parametrize("alpha", [0.01, 0.5])
def test_the_coefficient_rests_at_alpha_over_r(alpha: float) -> None:
    """The penalty is e^omega R - alpha omega,  d/domega = e^omega R - alpha:  zero at e^omega = alpha / R."""
    line = f"conv(3) | insert_fake_quant(weight_bits=3) | attach_msqe(alpha={alpha}, initial=2.0, activations=false)"
    module = graph(line).module()
    omega = module.get_parameter("lowbit.coefficients.msqe_weights")
    w, log2_scale = module.get_parameter("0.weight"), module.get_parameter("lowbit.scales.weights.0.weight")
    error = (w - fake_quantize(w, torch.exp2(log2_scale), 0, -3, 3, 0)).square().mean().item()
    assert omega.item() == math.log(2)
    for value in (omega.item(), 0.0, math.log(alpha / error)):
        omega.data.fill_(value)
        penalty = module(torch.zeros(2, 3, 8, 8, dtype=torch.float64))[1]["msqe_weights"][0]
        (slope,) = torch.autograd.grad(penalty, omega)
        assert penalty.item() == pytest.approx(math.exp(value) * error - alpha * value, rel=2**-48)
        assert slope.item() == pytest.approx(math.exp(value) * error - alpha, rel=2**-40, abs=alpha * 2**-48)


def square_error(x: Tensor, scales: Tensor, grid: Grid) -> Tensor:
    """Of each scale, over all of x."""
    steps = (x / scales[:, None] + 0.5).floor().clamp(grid.lo - grid.zero, grid.hi - grid.zero)
    return (steps * scales[:, None] - x).square().sum(1)


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
@pytest.mark.parametrize(
    ("signed", "narrow", "zero"),
    [(True, True, 0), (True, False, 0), (False, False, 0), (False, True, 0), (False, False, 1)],
)
def test_the_best_scale(bits: int, signed: bool, narrow: bool, zero: int) -> None:
    """No scale of a search of 4000 is better by more than a fiftieth, nor by a tenth of the noise of the finest."""
    grid = Grid(bits, signed, narrow, zero=zero)
    generator = torch.Generator().manual_seed(bits)
    for power in (1, 3):
        x = torch.randn(1000, generator=generator, dtype=torch.float64) ** power
        x = x if signed else x.abs() if not zero else torch.where(x > 0, x, 0.5 * x)
        lo, hi = grid.lo - grid.zero, grid.hi - grid.zero
        finest = max(x.abs().max() / max(1, hi), x.min() / min(lo, -1) if zero else 0)
        least = square_error(x, finest * torch.logspace(-2, 0.5, 4000, dtype=torch.float64), grid).min()
        found = square_error(x, best_scale(x, grid), grid)
        assert float(found) <= float(least) * 1.02 + 1000 * float(finest) ** 2 / 12 / 10


@given(grid=grids.filter(lambda grid: grid.bits <= 8), exponent=exponents)
def test_values_on_a_grid_are_kept(grid: Grid, exponent: int) -> None:
    x = torch.arange(max(grid.lo, -grid.hi), grid.hi + 1, dtype=torch.float64) * 2.0**exponent
    assert best_scale(x, grid).item() == 2.0**exponent
    assert best_scale(torch.stack([x, 2 * x]), grid, axis=0).tolist() == [2.0**exponent, 2.0 ** (exponent + 1)]


def test_zeros_have_a_scale_like_that_of_others() -> None:
    assert all(2**-10 <= scale <= 1 for scale in best_scale(torch.zeros(3, 5), Grid(4, signed=True), axis=0).tolist())
