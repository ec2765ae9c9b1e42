"""Convolutions of which most weights are zeros, in AVX2: for each weight that is none, 64 pixels of its channel.

Two products of bytes are added at a time, in 16 bits for as long as these hold the sums of the weights at hand (`every`
pairs), then in 32. Channels are laid apart for that, and the sums turned back to rows of channels, 8 pixels at a time.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ....compiler.arrays import Integers
from ..body import Body, filled
from ..gemm import RAISED, bytes_meet
from ..integers import INT16, UINT8, WORD, literal
from ..kernel import Kernel, Task
from ..lanes import in_lanes
from ..planes import OUTPUTS, PIXELS, Planes, laid, turned
from ..tensors import layer
from ..variants import AVX2
from ..windows import seen

C = """\
    $planes
    $sums
    $lines
    for (int32_t i = 0; i < $size; i++)
        planes[i] = $pad;
$rows
    for (int32_t first = 0; first < $pixels; first += 64)
        for (int32_t from = 0; from < $outputs; from += 64) {
            const int32_t to = $outputs - from < 64 ? $outputs : from + 64;
            for (int32_t n = from; n < to; n++)
                $multiply(planes + first, places + 2 * starts[n], weight + starts[n], starts[n + 1] - starts[n], $every,
                    bias[n], sums + (n - from) * 64);
            for (int32_t q = first; q < first + 64; q += 8) {
                $turn(sums + q - first, lines, to - from);
                for (int32_t i = 0; i < 8; i++) {
                    const int32_t p = (q + i) / $width * $columns + (q + i) % $width;
                    if (q + i >= $pixels || (q + i) % $width >= $columns)
                        continue;
                    $chain
                }
            }
        }"""
MULTIPLY = """\
static void $name_add($type *sums, __m128i v)
{
    const __m256i old = _mm256_loadu_si256((const __m256i *)(const void *)sums);
    _mm256_storeu_si256((__m256i *)(void *)sums, _mm256_add_epi32(old, _mm256_cvtepi16_epi32(v)));
}

/* 64 sums: `bias`, and of each pair of weights the products with what lies behind x at its two places */
static void $name(const uint8_t *x, const int32_t *places, const int16_t *w, int32_t count, int32_t every, int32_t bias,
                  $type *sums)
{
    for (int32_t i = 0; i < 64; i += 8)
        _mm256_storeu_si256((__m256i *)(void *)(sums + i), _mm256_set1_epi32(bias));
    for (int32_t e = 0; e < count;) {
        const int32_t end = count - e < every ? count : e + every;
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


@dataclass(frozen=True)
class Pairs:
    """Weights that are no zeros, two at a time, output by output. starts: of each output.   places: (pairs, 2).

    weights: (pairs, 2); a last one of its output may be beside a zero.
    """

    starts: Integers
    places: Integers
    weights: Integers

    @staticmethod
    def of(task: Task) -> Pairs:
        flat = task.call.weight.data.reshape(len(task.call.bias.data), -1)
        places = Planes.of(task).taps().reshape(-1)
        counts = np.count_nonzero(flat, axis=1)
        starts = np.concatenate([[0], np.cumsum(-(-counts // 2))])
        owner, at = np.nonzero(flat)
        slot = 2 * starts[owner] + np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
        weights, found = np.zeros((2, 2 * int(starts[-1])), np.int64)
        weights[slot], found[slot] = flat[owner, at], places[at]
        return Pairs(starts, found.reshape(-1, 2), weights.reshape(-1, 2))

    @property
    def words(self) -> Integers:
        """Two bytes each, as the C has them."""
        words: Integers = (self.weights[:, 0] & 255) + 256 * self.weights[:, 1]
        return words

    def ends(self, most: int) -> Integers:
        """How far each pair takes a sum up and down where no x is above `most`, (2, pairs)."""
        products = self.weights * most
        return np.stack([np.maximum(products, 0).sum(1), -np.minimum(products, 0).sum(1)])


def _every(pairs: Pairs, most: int) -> int:
    """The most pairs of each output whose sums of what is positive and of what is negative 16 bits hold."""
    ends, longest = pairs.ends(most), max(1, int(np.diff(pairs.starts).max(initial=0)))
    for every in sorted({longest, *(2**n for n in range(longest.bit_length()))}, reverse=True):
        cuts = [at for first, end in pairwise(pairs.starts) for at in range(first, end, every)]
        if not cuts or np.add.reduceat(ends, cuts, axis=1).max() <= HELD:
            return int(every)
    raise AssertionError("`why_not` is asked before C")


def _raised(task: Task) -> int:
    return RAISED if seen(task.call).lo < 0 else 0


def _most(task: Task) -> int:
    return seen(task.call).hi + _raised(task)


def _why_not(task: Task) -> str:
    if task.inputs[0].type.size != 1:
        return "x does not lie in bytes"
    if reason := bytes_meet(task):
        return reason
    fits = Pairs.of(task).ends(_most(task)).max(initial=0) <= HELD
    return "" if fits else "a pair of products may not fit 16 bits"


def _write(task: Task, body: Body) -> str:
    call, planes, raised = task.call, Planes.of(task), _raised(task)
    pairs = Pairs.of(task)
    outputs, high, wide = task.output.shape
    bias = call.bias.data - raised * call.weight.data.reshape(outputs, -1).sum(axis=1)
    for name, data, type in (("bias", bias, WORD), ("starts", pairs.starts, WORD), ("places", pairs.places, WORD),
                             ("weight", pairs.words, INT16)):  # fmt: skip
        body.table(name, data if data.size else np.zeros(1, np.int64), type)
    held = body.held(WORD)
    return filled(
        C,
        planes=body.memory("planes", UINT8, planes.size),
        sums=body.memory("sums", WORD, PIXELS * OUTPUTS),
        lines=body.memory("lines", WORD, 8 * OUTPUTS),
        size=planes.size,
        pad=literal(call.pad_value + raised),
        rows=laid(task, body, planes, raised),
        pixels=(high - 1) * planes.width + wide,
        outputs=outputs,
        multiply=body.helper("sixty_four", MULTIPLY.replace("$name_", f"{body.prefix}_sixty_four_"), type=held),
        every=_every(pairs, _most(task)),
        turn=turned(body),
        width=planes.width,
        columns=wide,
        chain=in_lanes(task, body, "lines[i * 64 + o - from]", 5, "from", "to"),
    )


def _cost(task: Task) -> float:
    planes, outputs = Planes.of(task), len(task.call.bias.data)
    pairs = np.count_nonzero(task.call.weight.data) / 2
    blocks = -(-(task.output.shape[1] * planes.width) // PIXELS)
    laid = 0.02 * planes.size + 0.15 * task.inputs[0].elements
    return blocks * (1.5 * pairs + 10 * outputs) + 0.5 * task.output.elements + laid


KERNEL = Kernel(ops=("conv2d",), write=_write, cost=_cost, why_not=_why_not, order=layer, when=AVX2)
