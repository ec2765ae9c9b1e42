"""Fake quantization in one pass over memory, in C, where it was compiled; torch takes five.

It takes float32 and bfloat16 on CPUs. Both forms give the same: the values to the bit, the gradient of the scale to the
order of summation. On large tensors as many threads share the work as torch has.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from .extension import extension
from .threads import Result, shared

INTERFACE = 5
"""Of `_rounding`: one more whenever its functions change."""
SHARE = 1 << 17
"""Values worth a thread of their own."""
FLOATS = torch.float32, torch.bfloat16
"""What values may be; scales are float32."""
NATIVE, _ = extension(f"{__package__}._rounding", INTERFACE)


class Ends(NamedTuple):
    """A grid less its zero point: its lowest and its highest integer, and whether it holds odd ones alone."""

    lo: int
    hi: int
    odd: bool


class Limits(NamedTuple):
    """What values are brought into before they are rounded, as by a ReLU: strictly between them the gradient passes."""

    bottom: float = -math.inf
    top: float = math.inf


class Span(NamedTuple):
    """Values side by side: `rows` of `size` each, from the value `at` and the scale `row` on."""

    at: int
    row: int
    rows: int
    size: int


EVERYTHING = Limits()


def takes(x: Tensor, scale: Tensor, axis: int) -> bool:
    """Whether the form in C can: x lies without gaps in memory, and has one scale, or one for each of its rows."""
    if NATIVE is None or not x.numel() or not _held(x, *FLOATS) or not _held(scale, torch.float32):
        return False
    if scale.numel() == 1:
        return x.is_contiguous() or (x.dim() == 4 and x.is_contiguous(memory_format=torch.channels_last))
    return axis == 0 and x.is_contiguous() and scale.is_contiguous()


def solid(x: Tensor) -> bool:
    """Whether the form in C can take it as one run of float32."""
    return NATIVE is not None and bool(x.numel()) and _held(x, torch.float32) and x.is_contiguous()


def plain(x: Tensor) -> bool:
    """Whether it is what it seems: fake tensors have no values, and other subclasses may mean something else."""
    return type(x) in (Tensor, nn.Parameter)


def _held(x: Tensor, *types: torch.dtype) -> bool:
    """Whether its values are of one of these types, and in the memory of the CPU."""
    return plain(x) and x.dtype in types and x.is_cpu and bool(x.data_ptr())


def rounded(x: Tensor, scale: Tensor, ends: Ends, limits: Limits = EVERYTHING) -> Tensor:
    """scale * q, of the shape of x. Both are such as `takes` has them."""
    y = torch.empty_like(x)

    def work(span: Span) -> None:
        places = *behind(span.at, x, y), *behind(span.row, scale)
        NATIVE.fake_quantize(*places, span.rows, span.size, _half(x), *ends, *limits)

    spread(x, scale, work)
    return y


def slopes(
    x: Tensor, grad: Tensor, scale: Tensor, ends: Ends, clipped: bool, limits: Limits = EVERYTHING
) -> tuple[Tensor, Tensor]:
    """(the gradient in x, that in the scale), see `grid.py`. grad: of the shape and the type of x."""
    if grad.stride() != x.stride():
        grad = torch.empty_like(x).copy_(grad)
    by_x = torch.empty_like(x)

    def work(span: Span) -> Tensor:
        sums = scale.new_empty(span.rows)
        places = *behind(span.at, x, grad, by_x), *behind(span.row, scale), sums.data_ptr()
        NATIVE.slopes(*places, span.rows, span.size, _half(x), *ends, *limits, clipped)
        return sums

    sums = spread(x, scale, work)
    return by_x, joined(sums, scale).reshape(scale.shape)


def errors(x: Tensor, scale: Tensor, ends: Ends) -> tuple[Tensor, Tensor, Tensor]:
    """(x - scale * q, the sum of its squares, a scalar, the sums of its products with q, of the scale's shape).

    Both are such as `takes` has them, x float32.
    """
    out = torch.empty_like(x)

    def work(span: Span) -> Tensor:
        sums = scale.new_empty(span.rows, 2)
        places = *behind(span.at, x, out), *behind(span.row, scale), sums.data_ptr()
        NATIVE.errors(*places, span.rows, span.size, *ends)
        return sums

    sums = joined(spread(x, scale, work), scale)
    return out, sums[:, 0].sum(), sums[:, 1].reshape(scale.shape)


def small(x: Tensor, limit: Tensor) -> tuple[Tensor, Tensor]:
    """(x where |x| <= limit, else 0; the sum of the squares of that, a scalar).

    x, limit: such as `takes` has them, float32, limit a scalar.
    """
    out = torch.empty_like(x)

    def work(span: Span) -> Tensor:
        square = x.new_empty(())
        NATIVE.small(*behind(span.at, x, out), limit.data_ptr(), square.data_ptr(), span.size)
        return square

    return out, torch.stack(spread(x, limit, work)).sum()


def joined(sums: list[Tensor], scale: Tensor) -> Tensor:
    """The threads' sums: one after another where each row has its scale, else added up."""
    if len(sums) == 1:
        return sums[0]
    return torch.stack(sums).sum(0) if scale.numel() == 1 else torch.cat(sums)


def behind(count: int, *tensors: Tensor) -> list[int]:
    """The address of each tensor's value behind so many others."""
    return [tensor.data_ptr() + tensor.itemsize * count for tensor in tensors]


def _half(x: Tensor) -> bool:
    return x.dtype == torch.bfloat16


def spread(x: Tensor, scale: Tensor, work: Callable[[Span], Result]) -> list[Result]:
    """What `work` gives for parts of x: runs of values, or of rows where each has its scale."""
    rows = scale.numel()
    size = x.numel() // rows

    def part(first: int, last: int) -> Result:
        return work(Span(first, 0, 1, last - first) if rows == 1 else Span(first * size, first, last - first, size))

    return shared(size if rows == 1 else rows, x.numel() // SHARE, part)
