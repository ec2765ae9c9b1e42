"""Convolutions and linears of small weights: multiply-adds of bytes, added up in 16 bits for as long as those suffice.

Weights are constants, so it is known how far: the sums of what is positive and of what is negative, times the greatest
x, stay in 16 bits over every stretch. A run is cut where it is too long; after `every` runs the sums go to 32 bits.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ....compiler.arrays import Integers
from ..body import Body
from ..gemm import Image, bytes_meet, cost, pairs, panels, taps, written
from ..gemm_tile import STEP, Form
from ..integers import UINT8
from ..kernel import Kernel, Task
from ..tensors import layer
from ..variants import AVX2
from ..windows import seen

FORM = Form(
    name="short",
    add="_mm256_add_epi16(sum, _mm256_maddubs_epi16(x, w))",
    more=", int32_t every",
    told="; sums are widened after `every` runs",
    loops="""\
__m256i $zeros, whole[] = {$whole};
    for (int32_t r = 0; r < count;) {
        const int32_t end = count - r < every ? count : r + every;
        for (; r < end; r++) {
$run
        }
        $widen
    }
    $back""",
)
HELD = 2**15 - 1
NANOSECONDS, WIDENING = 2.7, 6.0


@dataclass(frozen=True)
class Stretch:
    """The image with runs cut into `pieces`, of which `every` are added in 16 bits."""

    image: Image
    every: int

    @staticmethod
    def of(task: Task) -> Stretch | None:
        """The longest that is proven, or None."""
        image = Image.of(task, UINT8)
        most = seen(task.call).hi + image.raised
        paired = pairs(taps(task, image), UINT8, FORM.panel)
        ends = np.stack([np.maximum(paired, 0).sum(-1), -np.minimum(paired, 0).sum(-1)]) * most
        if ends.max() > HELD:
            return None
        sums = np.moveaxis(ends, (3, 4), (0, 1)).reshape(*paired.shape[2:4], -1)
        count, steps, _ = sums.shape
        pieces = next((n for n in range(1, steps + 1) if steps % n == 0 and _fits(sums, count * n, 1)), 0)
        if not pieces:
            return None
        every = next(n for n in range(count if pieces == 1 else 1, 0, -1) if _fits(sums, count * pieces, n))
        if pieces == 1:
            return Stretch(image, every)
        length = STEP * steps // pieces
        runs = tuple(run + length * piece for run in image.runs for piece in range(pieces))
        return Stretch(replace(image, runs=runs, length=length), every)


def _fits(sums: Integers, runs: int, every: int) -> bool:
    """Whether every stretch of so many of the runs stays in 16 bits. sums: (runs before they were cut, steps, all)."""
    whole = sums.reshape(runs, -1, sums.shape[-1]).sum(axis=1)
    return bool(np.add.reduceat(whole, np.arange(0, runs, every)).max() <= HELD)


def _why_not(task: Task) -> str:
    return bytes_meet(task) or ("" if Stretch.of(task) else "one step of four bytes may not fit 16 bits")


def _proven(task: Task) -> Stretch:
    stretch = Stretch.of(task)
    assert stretch is not None, "`why_not` is asked before cost and C"
    return stretch


def _write(task: Task, body: Body) -> str:
    stretch = _proven(task)
    image = Image.of(task, UINT8)
    whole = pairs(taps(task, image), UINT8, FORM.panel)
    cut = whole.reshape(*whole.shape[:2], len(stretch.image.runs), -1, *whole.shape[4:])
    return written(task, body, FORM, stretch.image, panels(cut), f", {stretch.every}")


def _cost(task: Task) -> float:
    stretch = _proven(task)
    steps = stretch.every * -(-stretch.image.length // STEP)
    return cost(task, stretch.image, FORM, NANOSECONDS + WIDENING / steps)


KERNEL = Kernel(ops=("conv2d", "conv3d", "linear"), write=_write, cost=_cost, why_not=_why_not, order=layer, when=AVX2)
