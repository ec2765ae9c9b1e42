"""Fake quantization in one pass over memory, in C: float32 on CPUs, where it was compiled; else torch takes five.

The forms are the same: the values to the bit, the gradient of the scale to the order of summation. On large tensors as
many threads share the work as torch has.
"""

from __future__ import annotations

import functools
import importlib
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

INTERFACE = 1
"""What `_rounding` must be: one that was compiled from other sources would take other arguments."""
SHARE = 1 << 17
"""Values worth a thread of their own."""


def _compiled() -> Any:
    try:
        found = importlib.import_module(f"{__package__}._rounding")
    except ImportError:  # there was no compiler at installation
        return None
    return found if getattr(found, "INTERFACE", None) == INTERFACE else None


NATIVE = _compiled()


class Ends(NamedTuple):
    """A grid less its zero point: its lowest and its highest integer, and whether it holds odd ones alone."""

    lo: int
    hi: int
    odd: bool


class Span(NamedTuple):
    """Values side by side: `rows` of `size` each, from the value `at` and the scale `row` on; the `part`-th of all."""

    at: int
    row: int
    rows: int
    size: int
    part: int


def takes(x: Tensor, scale: Tensor, axis: int) -> bool:
    """Whether the form in C can: x lies without gaps in memory, and has one scale, or one for each of its rows."""
    if NATIVE is None or not x.numel() or not all(_plain(tensor) for tensor in (x, scale)):
        return False
    if scale.numel() == 1:
        return x.is_contiguous() or (x.dim() == 4 and x.is_contiguous(memory_format=torch.channels_last))
    return axis == 0 and x.is_contiguous() and scale.is_contiguous()


def _plain(x: Tensor) -> bool:
    """Whether it has its values in memory: fake tensors have none, and other subclasses may mean something else."""
    return type(x) in (Tensor, nn.Parameter) and x.dtype == torch.float32 and x.is_cpu and bool(x.data_ptr())


def rounded(x: Tensor, scale: Tensor, ends: Ends) -> Tensor:
    """scale * q, of the shape of x. Both are such as `takes` has them."""
    y = torch.empty_like(x)

    def work(span: Span) -> None:
        NATIVE.fake_quantize(*_behind(span.at, x, y), *_behind(span.row, scale), span.rows, span.size, *ends)

    _shared(work, _spans(x, scale))
    return y


def slopes(x: Tensor, grad: Tensor, scale: Tensor, ends: Ends, clipped: bool) -> tuple[Tensor, Tensor]:
    """(the gradient in x, that in the scale), see `grid.py`. grad: of the shape of x, float32."""
    if grad.stride() != x.stride():
        grad = torch.empty_like(x).copy_(grad)
    by_x, spans = torch.empty_like(x), _spans(x, scale)
    one = scale.numel() == 1
    by_scale = x.new_empty(len(spans) if one else scale.numel())

    def work(span: Span) -> None:
        sums = _behind(span.part if one else span.row, by_scale)
        places = *_behind(span.at, x, grad, by_x), *_behind(span.row, scale), *sums
        NATIVE.slopes(*places, span.rows, span.size, *ends, clipped)

    _shared(work, spans)
    return by_x, (by_scale.sum() if one else by_scale).reshape(scale.shape)


def _behind(count: int, *tensors: Tensor) -> list[int]:
    """The address of each tensor's value behind so many others."""
    return [tensor.data_ptr() + 4 * count for tensor in tensors]


def _spans(x: Tensor, scale: Tensor) -> list[Span]:
    """x in as many parts as there are threads for it."""
    rows, threads = scale.numel(), max(1, min(torch.get_num_threads(), x.numel() // SHARE))
    size = x.numel() // rows
    each = -(-(size if rows == 1 else rows) // threads)
    if rows == 1:
        return [Span(at, 0, 1, min(each, size - at), part) for part, at in enumerate(range(0, size, each))]
    starts = enumerate(range(0, rows, each))
    return [Span(row * size, row, min(each, rows - row), size, part) for part, row in starts]


def _shared(work: Callable[[Span], None], spans: list[Span]) -> None:
    first, *others = spans
    waiting = [_pool(torch.get_num_threads()).submit(work, span) for span in others]
    work(first)
    for one in waiting:
        one.result()


@functools.cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, "lowbit-rounding")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)  # threads do not follow into the child
