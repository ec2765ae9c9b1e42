"""The quantization grid: real <-> integer, defined once and used by training and by the integer program.

A grid holds the integers [lo, hi]; real = scale * (q - zero), and from real to integer there is one rounding, half up:

    q = clamp(floor(x / scale + 1/2) + zero, lo, hi)

An odd grid, also called mid-rise, holds the odd integers of [lo, hi] alone, so it has no zero: 1 bit is -1 and 1.

    q = clamp(2 floor(x / (2 scale)) + 1, lo, hi)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from . import fused
from .direct import gradient
from .fused import Ends

MAX_BITS = 16


@dataclass(frozen=True)
class Grid:
    """The integers of a grid: `bits` wide, signed or not; narrow leaves out the lowest: -8 of 4 bits, 0 without sign.

    odd: the 2^bits odd integers from -(2^bits - 1) to 2^bits - 1.   zero: the integer that stands for 0.
    """

    bits: int
    signed: bool
    narrow: bool = False
    odd: bool = False
    zero: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.bits <= MAX_BITS:
            raise ValueError(f"a grid has 1 to {MAX_BITS} bits, not {self.bits}")
        if self.lo >= self.hi:
            raise ValueError("a narrow grid needs at least 2 bits")
        if self.odd and (self.narrow or not self.signed):
            raise ValueError("an odd grid is signed, and narrow in any case")
        if self.zero and not self.lo <= self.zero <= self.hi:
            raise ValueError(f"zero lies outside of [{self.lo}, {self.hi}]")

    @property
    def lo(self) -> int:
        if self.odd:
            return 1 - (1 << self.bits)
        return self.narrow - (self.signed << self.bits - 1)

    @property
    def hi(self) -> int:
        return (1 << self.bits - (self.signed and not self.odd)) - 1

    @property
    def reach(self) -> tuple[int, int]:
        """The ends less the zero point: what the scale multiplies."""
        return self.lo - self.zero, self.hi - self.zero


def along(scale: Tensor, rank: int, axis: int) -> Tensor:
    """A scale of shape (1,) or (channels,), shaped to broadcast along `axis` of a tensor of that rank."""
    return scale.reshape([-1 if i == axis else 1 for i in range(rank)]) if scale.numel() > 1 else scale.reshape(())


def wide(x: Tensor) -> Tensor:
    """x in 32 bits at least: in bfloat16 no half lies between the integers from 128 on."""
    return x if x.dtype.itemsize >= 4 else x.float()


def quantize(x: Tensor, scale: Tensor, zero: int, lo: int, hi: int, axis: int = 0, odd: bool = False) -> Tensor:
    """The integers of x on the grid, in x's dtype. x: any shape; scale: (1,) or (x.shape[axis],), positive."""
    return centred(x, scale, zero, lo, hi, axis, odd).add_(zero)


def centred(x: Tensor, scale: Tensor, zero: int, lo: int, hi: int, axis: int, odd: bool = False) -> Tensor:
    """The integers of x less the zero point: what times the scale is the rounded x."""
    return _round(x / along(scale, x.dim(), axis), lo - zero, hi - zero, odd)


def _round(steps: Tensor, lo: int, hi: int, odd: bool) -> Tensor:
    """x / scale, rounded half up and clamped, in place: a training step has few passes over memory to spare."""
    if odd:
        return steps.mul_(0.5).floor_().mul_(2).add_(1).clamp_(lo, hi)
    return steps.add_(0.5).floor_().clamp_(lo, hi)


@torch.library.custom_op("lowbit::fake_quantize", mutates_args=())
def fake_quantize(
    x: Tensor,
    scale: Tensor,
    zero: int,
    lo: int,
    hi: int,
    axis: int,
    straight: bool = False,
    odd: bool = False,
    clipped: bool = False,
) -> Tensor:
    """x rounded to the grid: scale * (q - zero). Differentiable in x and scale, see `_backward`.

    straight: the gradient in x passes where x is clipped too. So it does for weights, which could not come back into
    a range that has become too narrow for them otherwise.
    odd: the grid is the odd integers alone.   clipped: the scale learns from what it clips, not from what it rounds.
    """
    # One scale a channel in a wider type would widen it.
    return _rounded(x, scale, Ends(lo - zero, hi - zero, odd), axis).to(x.dtype)


def _rounded(x: Tensor, scale: Tensor, ends: Ends, axis: int) -> Tensor:
    if fused.takes(x, scale, axis):
        return fused.rounded(x, scale, ends)
    along_axis = along(scale, x.dim(), axis)
    return _round(wide(x) / along_axis, *ends).mul_(along_axis)


@fake_quantize.register_fake
def _(x: Tensor, *others: Any) -> Tensor:
    return torch.empty_like(x)


def _setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, scale, *ctx.grid = inputs
    ctx.save_for_backward(x, scale, output)  # who reads the output keeps it, too


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    """Straight-through inside the range, outside only if `straight`; for the scale the exact range gradient.

    d fq / d scale = (q - zero) - x / scale inside, and q - zero where x is clipped (Esser et al. 2019, eq. 3); with
    `clipped` nothing inside (Choi et al. 2018, eq. 3).
    """
    zero, lo, hi, axis, straight, odd, clipped = ctx.grid
    learns = ctx.needs_input_grad[1]
    if straight and not learns:
        return grad, *[None] * 8
    x, scale, rounded = ctx.saved_tensors
    ends = Ends(lo - zero, hi - zero, odd)
    if torch.is_grad_enabled():  # of a gradient that is differentiated in turn
        inside, by_scale = _slopes(grad, x, scale, rounded, ends, axis, clipped, learns)
    else:
        run = _slopes_at_once if fused.plain(grad) else torch.ops.lowbit.slopes
        inside, by_scale = run(grad, x, scale, rounded, *ends, axis, clipped, learns)
    return grad if straight else inside, by_scale if learns else None, *[None] * 7


def _slopes(
    grad: Tensor, x: Tensor, scale: Tensor, rounded: Tensor, ends: Ends, axis: int, clipped: bool, learns: bool
) -> tuple[Tensor, Tensor]:
    """(the gradient in x, that in the scale, of no meaning unless it `learns`)."""
    x32, grad32 = wide(x), wide(grad)
    steps = x32 / along(scale, x.dim(), axis)
    inside = within(grad32, steps, ends.lo, ends.hi)
    if not learns:
        return inside.to(x.dtype), torch.zeros_like(scale)
    if x32 is not x:  # the small difference of large products below
        rounded = _rounded(x32, scale, ends, axis)
    if clipped:
        by_scale = products(grad32 - inside, rounded, scale, axis) / scale
    else:
        # sum(grad * q) - sum(grad * x / scale, inside): two dot products instead of a tensor of slopes.
        by_scale = products(grad32, rounded, scale, axis) / scale - products(inside, steps, scale, axis)
    return inside.to(x.dtype), by_scale


def _slopes_at_once(
    grad: Tensor,
    x: Tensor,
    scale: Tensor,
    rounded: Tensor,
    lo: int,
    hi: int,
    odd: bool,
    axis: int,
    clipped: bool,
    learns: bool,
) -> tuple[Tensor, Tensor]:
    """The same in one pass where C can; in x's type and layout, and the scale's."""
    ends = Ends(lo, hi, odd)
    if fused.takes(x, scale, axis):
        return fused.slopes(x, grad.to(x.dtype), scale, ends, clipped)
    inside, by_scale = _slopes(grad, x, scale, rounded, ends, axis, clipped, learns)
    return (inside if inside.stride() == x.stride() else torch.empty_like(x).copy_(inside)), by_scale


slopes = torch.library.custom_op("lowbit::slopes", _slopes_at_once, mutates_args=())
"""The gradients as an operator, which is what torch.compile sees: it adds up in the order of eager mode."""


@slopes.register_fake
def _(grad: Tensor, x: Tensor, scale: Tensor, *others: Any) -> tuple[Tensor, Tensor]:
    return torch.empty_like(x), torch.empty_like(scale)


gradient(fake_quantize, _backward, _setup)


@torch.library.custom_op("lowbit::dequantize", mutates_args=())
def dequantize(codes: Tensor, scale: Tensor, zero: int, axis: int) -> Tensor:
    """The real values of integer codes: scale * (codes - zero), in the scale's dtype."""
    return (codes.to(scale.dtype) - zero) * along(scale, codes.dim(), axis)


@dequantize.register_fake
def _(codes: Tensor, scale: Tensor, zero: int, axis: int) -> Tensor:
    return torch.empty_like(codes, dtype=scale.dtype)


def within(grad: Tensor, x: Tensor, lo: float, hi: float) -> Tensor:
    """grad where lo <= x <= hi, else 0; lo <= 0 <= hi.

    One pass and no mask: on CPUs `masked_fill` and `where` take thirty times as long as the arithmetic around them.
    """
    kept: Tensor = torch.ops.aten.hardtanh_backward(grad, x, -_above(-lo, x.dtype), _above(hi, x.dtype))
    return kept.to(grad.dtype)  # x is wider where its scales are


def _above(limit: float, dtype: torch.dtype) -> float:
    """The next number of the type above a limit >= 0, the least normal one above 0."""
    kind = torch.finfo(dtype)
    return limit + math.ldexp(kind.eps, math.frexp(limit)[1] - 1) if limit else kind.tiny


def products(a: Tensor, b: Tensor, scale: Tensor, axis: int) -> Tensor:
    """The sum of a b, in the shape of a scale along `axis`."""
    return total(a, b).reshape(scale.shape) if scale.numel() == 1 else reduce_to(a * b, scale, axis)


def total(a: Tensor, b: Tensor) -> Tensor:
    """The sum of a b, a scalar."""
    if a.is_contiguous() and b.is_contiguous() and a.dtype == b.dtype:
        return torch.dot(a.view(-1), b.view(-1))  # without a tensor of the products
    return (a * b).sum()


def reduce_to(x: Tensor, scale: Tensor, axis: int) -> Tensor:
    """x summed to the shape of a scale along `axis`."""
    if scale.numel() == 1:
        return x.sum().reshape(scale.shape)
    others = [i for i in range(x.dim()) if i != axis]
    return x.sum(others) if others else x  # torch takes no dimensions for all


SMALLEST = 2.0**-20
"""The scale of zeros alone on a grid without a zero; with a smaller one a bias beside them could not be lowered."""


def best_scale(x: Tensor, grid: Grid, axis: int | None = None) -> Tensor:
    """The scale, (1,) or (channels,), with the least mean square quantization error of x on a grid.

    A coarse search over clipping levels, then alternating minimization: given the integers q, the best scale is
    sum(x q) / sum(q q).
    """
    rows = x.detach().reshape(1, -1) if axis is None else x.detach().movedim(axis, 0).flatten(1)
    top = rows.abs().amax(1, keepdim=True)
    # Zeros alone are exact on any grid; a tiny scale for them could not be lowered beside the others.
    top = torch.where(top > 0, top, SMALLEST if grid.odd else 1.0)
    top = top.clamp_min(torch.finfo(rows.dtype).tiny * 2**grid.bits)
    lo, hi = grid.reach
    widest = top / max(1, hi)  # of a grid that reaches further below zero, lest a row of positive values be clipped
    if lo < 0:
        widest = torch.maximum(widest, rows.amin(1, keepdim=True) / lo)
    best, least = widest, torch.full_like(top, math.inf)
    for step in range(1, 41):
        best, least = _better(rows, widest * step / 40, grid, best, least)
    for _ in range(8):
        q = _round(rows / best, lo, hi, grid.odd)
        refined = (rows * q).sum(1, keepdim=True) / (q * q).sum(1, keepdim=True).clamp_min(1)
        best, least = _better(rows, torch.where(refined > 0, refined, best), grid, best, least)
    return best.reshape(-1)


def _better(rows: Tensor, scale: Tensor, grid: Grid, best: Tensor, least: Tensor) -> tuple[Tensor, Tensor]:
    error = (_round(rows / scale, *grid.reach, grid.odd) * scale - rows).square().sum(1, keepdim=True)
    return torch.where(error < least, scale, best), torch.minimum(error, least)
