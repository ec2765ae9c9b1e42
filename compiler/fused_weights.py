"""The grid of a weight with what stands around it in one pass over memory, in C, where it was compiled.

    Q(w m k) / k      m: a mask of w's shape, k: a factor for each of w's rows; each may be missing

To the bit what the operators give one behind another, whose grid is that of `fused.py`. On large tensors as many
threads share the work as torch has.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from . import fused
from .fused import Ends, Span, behind, joined, spread
from .threads import shared


class Around(NamedTuple):
    """What a weight is multiplied by before its grid.

    mask: of the weight's shape.   k: (rows, 1, ...).   divides: whether what leaves the grid is divided by k.
    """

    mask: Tensor | None
    k: Tensor | None
    divides: bool = False

    @property
    def factors(self) -> list[Tensor]:
        """Those that are there."""
        return [factor for factor in (self.mask, self.k) if factor is not None]


def takes(w: Tensor, around: Around, scale: Tensor | None = None, axis: int = 0) -> bool:
    """Whether the form in C can: all of it is float32 without gaps, k goes along w's rows and learns nothing."""
    mask, k = around.mask, around.k
    if not w.dim() or not fused.solid(w) or not (scale is None or fused.takes(w, scale, axis)):
        return False
    if mask is not None and not (fused.solid(mask) and mask.shape == w.shape):
        return False
    return k is None or (fused.solid(k) and not k.requires_grad and _along_rows(k, w))


def _along_rows(k: Tensor, w: Tensor) -> bool:
    return k.dim() == w.dim() and k.shape[0] == k.numel() == w.shape[0]


def multiplied(w: Tensor, around: Around) -> Tensor:
    """w m k. All are such as `takes` has them."""
    out = w.new_empty(w.shape)

    def work(first: int, last: int) -> None:
        fused.NATIVE.product(*_places(w, *around[:2]), _size(w), out.data_ptr(), first, last - first)

    shared(w.numel(), w.numel() // fused.SHARE, work)
    return out


def rounded(w: Tensor, around: Around, scale: Tensor, ends: Ends) -> Tensor:
    """Q(w m k), or that divided by k. All are such as `takes` has them."""
    out = w.new_empty(w.shape)

    def work(span: Span) -> None:
        places = *_places(w, *around[:2]), _size(w), around.divides, out.data_ptr(), *behind(span.row, scale)
        fused.NATIVE.weigh(*places, span.at, span.rows, span.size, *ends)

    spread(w, scale, work)
    return out


def slopes(
    w: Tensor, grad: Tensor, around: Around, scale: Tensor, ends: Ends, straight: bool, clipped: bool
) -> tuple[Tensor, Tensor]:
    """(the gradient in w, that in the scale), see `grid.py`. grad: of the shape and the type of w."""
    grad, out = grad.contiguous(), w.new_empty(w.shape)

    def work(span: Span) -> Tensor:
        sums = scale.new_empty(span.rows)
        places = *_places(grad, out), *behind(span.row, scale), sums.data_ptr(), span.at, span.rows, span.size
        given = *_places(w, *around[:2]), _size(w), around.divides
        fused.NATIVE.weigh_slopes(*given, *places, straight, *ends, clipped)
        return sums

    sums = joined(spread(w, scale, work), scale)
    return out, sums.reshape(scale.shape)


def _places(*tensors: Tensor | None) -> list[int]:
    """The address of each tensor, 0 for none."""
    return [0 if x is None else x.data_ptr() for x in tensors]


def _size(w: Tensor) -> int:
    """Of a row."""
    return w.numel() // len(w)
