"""Convolutions of which most weights are zeros, in AVX2: two weights that are none at a time, 64 pixels.

Two products of bytes are added at a time, in 16 bits for as long as these hold the sums of the weights at hand (`every`
pairs), then in 32.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from ....compiler.arrays import Integers
from ..body import Body
from ..gemm import bytes_meet
from ..integers import INT16, WORD
from ..kernel import Kernel, Task
from ..sparse import Groups, cost, raised, written
from ..tensors import layer
from ..variants import AVX2
from ..windows import seen

MULTIPLY = """\
static void $name_add($type *sums, __m128i v)
{
    const __m256i old = _mm256_loadu_si256((const __m256i *)(const void *)sums);
    _mm256_storeu_si256((__m256i *)(void *)sums, _mm256_add_epi32(old, _mm256_cvtepi16_epi32(v)));
}

/* 64 sums: `bias`, and of each pair of weights the products with what lies behind x at its two places */
static void $name(const uint8_t *x, const int32_t *places, const int16_t *w, int32_t count, int32_t bias, $type *sums)
{
    for (int32_t i = 0; i < 64; i += 8)
        _mm256_storeu_si256((__m256i *)(void *)(sums + i), _mm256_set1_epi32(bias));
    for (int32_t e = 0; e < count;) {
        const int32_t end = count - e < $every ? count : e + $every;
        __m256i c0 = _mm256_setzero_si256(), c1 = c0, c2 = c0, c3 = c0, u, v;
        for (; e < end; e++) {
            const __m256i pair = _mm256_set1_epi16(w[e]);
            const __m256i *const p = (const __m256i *)(const void *)(x + places[2 * e]);
            const __m256i *const q = (const __m256i *)(const void *)(x + places[2 * e + 1]);
            u = _mm256_loadu_si256(p), v = _mm256_loadu_si256(q);
            c0 = _mm256_add_epi16(c0, _mm256_maddubs_epi16(_mm256_unpacklo_epi8(u, v), pair));
            c1 = _mm256_add_epi16(c1, _mm256_maddubs_epi16(_mm256_unpackhi_epi8(u, v), pair));
            u = _mm256_loadu_si256(p + 1), v = _mm256_loadu_si256(q + 1);
            c2 = _mm256_add_epi16(c2, _mm256_maddubs_epi16(_mm256_unpacklo_epi8(u, v), pair));
            c3 = _mm256_add_epi16(c3, _mm256_maddubs_epi16(_mm256_unpackhi_epi8(u, v), pair));
        }
        $name_add(sums, _mm256_castsi256_si128(c0)), $name_add(sums + 8, _mm256_castsi256_si128(c1));
        $name_add(sums + 16, _mm256_extracti128_si256(c0, 1)), $name_add(sums + 24, _mm256_extracti128_si256(c1, 1));
        $name_add(sums + 32, _mm256_castsi256_si128(c2)), $name_add(sums + 40, _mm256_castsi256_si128(c3));
        $name_add(sums + 48, _mm256_extracti128_si256(c2, 1)), $name_add(sums + 56, _mm256_extracti128_si256(c3, 1));
    }
}
"""
HELD = 2**15 - 1
NANOSECONDS = 0.75
"""Of a weight and 64 pixels."""


def _ends(task: Task, pairs: Groups) -> Integers:
    """How far each pair takes a sum up and down at most, (2, pairs)."""
    products = pairs.weights * (seen(task.call).hi + raised(task))
    return np.stack([np.maximum(products, 0).sum(1), -np.minimum(products, 0).sum(1)])


def _every(task: Task, pairs: Groups) -> int:
    """The most pairs of each output whose sums of what is positive and of what is negative 16 bits hold."""
    ends, longest = _ends(task, pairs), max(1, int(np.diff(pairs.starts).max(initial=0)))
    for every in sorted({longest, *(2**n for n in range(longest.bit_length()))}, reverse=True):
        cuts = [at for first, end in pairwise(pairs.starts) for at in range(first, end, every)]
        if not cuts or np.add.reduceat(ends, cuts, axis=1).max() <= HELD:
            return int(every)
    raise AssertionError("`why_not` is asked before C")


def _why_not(task: Task) -> str:
    if task.inputs[0].type.size != 1:
        return "x does not lie in bytes"
    if reason := bytes_meet(task):
        return reason
    fits = _ends(task, Groups.of(task, 2)).max(initial=0) <= HELD
    return "" if fits else "a pair of products may not fit 16 bits"


def _write(task: Task, body: Body) -> str:
    pairs = Groups.of(task, 2)
    every = _every(task, pairs)
    name = f"sixty_four_{every}"
    text = MULTIPLY.replace("$name_", f"{body.prefix}_{name}_")
    return written(task, body, pairs, INT16, body.helper(name, text, type=body.held(WORD), every=every))


KERNEL = Kernel(
    ops=("conv2d",),
    write=_write,
    cost=lambda task: cost(task, NANOSECONDS),
    why_not=_why_not,
    order=layer,
    when=AVX2,
)
