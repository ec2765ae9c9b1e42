"""Fake quantization in C is that in torch: to the bit, but for the sums that are gradients of scales."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from lowbit.compiler import fused
from lowbit.compiler.grid import Grid, fake_quantize
from lowbit.passes.attach_msqe import _error
from lowbit.passes.attach_partial_l2 import _small
from programs import laws
from torch import Tensor

pytestmark = pytest.mark.skipif(fused.NATIVE is None, reason="the extension was not compiled at installation")

grids = st.builds(Grid, st.integers(2, 16), st.booleans(), st.booleans())
odd_grids = st.builds(Grid, st.integers(1, 8), st.just(True), odd=st.just(True))
shapes = st.lists(st.integers(1, 9), min_size=1, max_size=4).map(tuple)
LAYOUTS = ("contiguous", "channels_last", "strided")
Result = tuple[Tensor, Tensor, Tensor]


def laid(x: Tensor, layout: str) -> Tensor:
    """The same values in another order in memory, where the rank allows it."""
    if layout == "channels_last" and x.dim() == 4:
        return x.contiguous(memory_format=torch.channels_last)
    return torch.stack([x, x], -1)[..., 0] if layout == "strided" else x


def stepped(x: Tensor, scale: Tensor, rest: tuple[Any, ...], grad: Tensor) -> Result:
    """(the values, the gradient in x, that in the scale)."""
    leaves = x.clone(memory_format=torch.preserve_format).requires_grad_(), scale.clone().requires_grad_()
    y = fake_quantize(*leaves, *rest)
    y.backward(grad)
    assert leaves[0].grad is not None
    assert leaves[1].grad is not None
    return y.detach(), leaves[0].grad, leaves[1].grad


def both(*given: Any) -> tuple[Result, Result]:
    """By C, and by torch."""
    with mock.patch.object(fused, "NATIVE", None):
        expected = stepped(*given)
    return stepped(*given), expected


@laws(120)
@given(
    shape=shapes,
    grid=grids | odd_grids,
    by_rows=st.booleans(),
    flags=st.tuples(st.booleans(), st.booleans()),
    half=st.booleans(),
    layouts=st.tuples(st.sampled_from(LAYOUTS), st.sampled_from(LAYOUTS)),
    zero=st.integers(-2, 2),
    threads=st.integers(1, 3),
    seed=st.integers(0, 99),
)
def test_both_forms_agree(
    shape: tuple[int, ...],
    grid: Grid,
    by_rows: bool,
    flags: tuple[bool, bool],
    half: bool,
    layouts: tuple[str, str],
    zero: int,
    threads: int,
    seed: int,
) -> None:
    straight, clipped = flags
    generator = torch.Generator().manual_seed(seed)
    dtype = torch.bfloat16 if half else torch.float32
    x, grad = (laid(torch.randn(shape, generator=generator).to(dtype), layout) for layout in layouts)
    scale = torch.rand(shape[0] if by_rows else 1, generator=generator) * 4 / grid.hi + 2**-20
    rest = (0 if grid.odd else zero, grid.lo, grid.hi, 0, straight, grid.odd, clipped)
    with mock.patch.object(fused, "SHARE", 8), mock.patch.object(torch, "get_num_threads", return_value=threads):
        (y, by_x, by_scale), expected = both(x, scale, rest, grad)
    assert torch.equal(y, expected[0])
    assert torch.equal(by_x, expected[1])
    size = x.numel() / scale.numel() * (grid.hi - grid.lo + 2)
    torch.testing.assert_close(by_scale, expected[2], rtol=0, atol=16 * size * 2**-24)  # of products up to size, summed


@pytest.mark.parametrize("dtype", fused.FLOATS)
@pytest.mark.parametrize("odd", [False, True])
def test_what_is_no_number_stays_none_and_ends_are_ends(odd: bool, dtype: torch.dtype) -> None:
    ends = [math.nan, math.inf, -math.inf, 3e38, -3e38, 0.0, -0.0, 1e-40]
    x, scale = torch.tensor(ends * 3, dtype=dtype), torch.tensor([1e-3])
    (y, by_x, _), expected = both(x, scale, (0, -7, 7, 0, False, odd, False), torch.ones_like(x))
    torch.testing.assert_close(y, expected[0], rtol=0, atol=0, equal_nan=True)
    assert torch.equal(by_x[~x.isnan()], expected[1][~x.isnan()])


def test_halves_are_rounded_to_bfloat16_as_torch_does() -> None:
    x, scale = torch.arange(1, 4000).bfloat16(), torch.tensor([1.0009765625])  # products with many bits
    (y, *_), expected = both(x, scale, (0, -(2**15), 2**15 - 1, 0, False, False, False), torch.ones_like(x))
    assert torch.equal(y, expected[0])


@laws(60)
@given(
    shape=shapes,
    grid=grids | odd_grids,
    by_rows=st.booleans(),
    layout=st.sampled_from(LAYOUTS),
    threads=st.integers(1, 3),
    seed=st.integers(0, 99),
)
def test_what_penalties_ask_agrees(
    shape: tuple[int, ...], grid: Grid, by_rows: bool, layout: str, threads: int, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    x = laid(torch.randn(shape, generator=generator), layout)
    scale = torch.rand(shape[0] if by_rows else 1, generator=generator) * 4 / grid.hi + 2**-20
    limit = x.abs().flatten()[seed % x.numel()]  # one of them lies on it
    with mock.patch.object(fused, "SHARE", 8), mock.patch.object(torch, "get_num_threads", return_value=threads):
        rounding = float(x.abs().max() + scale.max()) * 2**-23  # of scale * q, which torch may leave out
        errors, small = lambda: _error(x, scale, 0, grid.lo, grid.hi, 0, grid.odd), lambda: _small(x, limit)
        for ask, away in ((errors, rounding), (small, 0.0)):
            with mock.patch.object(fused, "NATIVE", None):
                expected: tuple[Tensor, ...] = ask()
            found: tuple[Tensor, ...] = ask()
            torch.testing.assert_close(found[0], expected[0], rtol=0, atol=away)
            for sums, those in zip(found[1:], expected[1:], strict=True):
                assert sums.shape == those.shape
                largest = float(expected[0].abs().max())
                size = x.numel() * max(grid.hi + 1, largest)  # of one factor, and so many products
                torch.testing.assert_close(sums, those, rtol=0, atol=size * (16 * largest * 2**-24 + away))


@pytest.fixture
def counted() -> Iterator[mock.Mock]:
    with mock.patch.object(fused, "rounded", wraps=fused.rounded) as calls:
        yield calls


@pytest.mark.parametrize(
    ("x", "scale", "axis", "taken"),
    [
        (torch.ones(4, 3, 2, 2), torch.ones(1), 0, True),
        (torch.ones(4, 3, 2, 2).to(memory_format=torch.channels_last), torch.ones(1), 0, True),
        (torch.ones(4, 3, 2, 2).to(memory_format=torch.channels_last), torch.ones(4), 0, False),
        (torch.ones(4, 3), torch.ones(4), 0, True),
        (torch.ones(4, 3), torch.ones(3), 1, False),
        (torch.ones(4, 6)[:, ::2], torch.ones(1), 0, False),
        (torch.ones(4, 3).expand(2, 4, 3), torch.ones(1), 0, False),
        (torch.ones(4, 3, dtype=torch.float64), torch.ones(1, dtype=torch.float64), 0, False),
        (torch.ones(4, 3).bfloat16(), torch.ones(1), 0, True),
        (torch.ones(4, 3).half(), torch.ones(1), 0, False),
        (torch.ones(4, 3).bfloat16(), torch.ones(1).bfloat16(), 0, False),
        (torch.ones(0, 3), torch.ones(1), 0, False),
        (torch.ones(4, 3, device="meta"), torch.ones(1, device="meta"), 0, False),
    ],
)
def test_who_goes_where(x: Tensor, scale: Tensor, axis: int, taken: bool, counted: mock.Mock) -> None:
    y = fake_quantize(x, scale, 0, -7, 7, axis)
    assert y.shape == x.shape
    assert y.dtype == x.dtype
    assert counted.called == taken


def test_gradients_of_gradients_are_not_lost() -> None:
    x, weight = torch.linspace(-2, 2, 9, requires_grad=True), torch.ones(9, requires_grad=True)
    (by_x,) = torch.autograd.grad(
        (fake_quantize(x, torch.tensor([0.25]), 0, -4, 4, 0) * weight).sum(), x, create_graph=True
    )
    (inside,) = torch.autograd.grad(by_x.sum(), weight)
    assert inside.tolist() == [0, 0, 1, 1, 1, 1, 1, 0, 0]


@given(rows=st.integers(1, 40), size=st.integers(1, 40), threads=st.integers(1, 9))
def test_shares_tile_the_memory(rows: int, size: int, threads: int) -> None:
    with mock.patch.object(fused, "SHARE", 8), mock.patch.object(torch, "get_num_threads", return_value=threads):
        spans = fused.spread(torch.zeros(rows, size), torch.ones(rows), lambda span: span)
    at, row = 0, 0
    for span in spans:
        assert (span.at, span.row) == (at, row)
        at, row = at + span.rows * span.size, row + (span.rows if rows > 1 else 0)
    assert at == rows * size
    assert len(spans) <= threads
