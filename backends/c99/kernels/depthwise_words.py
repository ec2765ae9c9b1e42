"""Convolutions of each channel on its own by AVX2's multiply-add of 16 bits: 16 channels at a time, two taps a step.

The products of two taps are added in 32 bits, which C1 of the op makes wide enough in any order. The border is a pixel
of its own, which every tap outside of the image reads.
"""

from __future__ import annotations

import math

import numpy as np

from ....compiler.arrays import Integers
from ...fixed.window import Window
from ..body import Body, filled, indented
from ..integers import INT8, INT16, UINT8, WORD, literal
from ..kernel import Kernel, Task
from ..lanes import in_lanes
from ..tensors import layer
from ..variants import AVX2
from ..windows import element, looks, origins, seen, taps

STEP = 16
ORDER = [0, 1, 2, 3, 8, 9, 10, 11, 4, 5, 6, 7, 12, 13, 14, 15]
"""The channels as two unpacked registers hold them."""
C = """\
    const $type *at[$even];
    $border
    $sums
    for (int32_t c = 0; c < $channels; c++)
        border[c] = $pad;
    for (int32_t p = 0; p < $rows; p++) {
        $origins
        int32_t t = 0;
        $taps {
            $looks
            at[t++] = x0 + $element;
        }
        $odd
        for (int32_t o = 0; o < $whole; o += 16)
            $multiply(at, o, bias + o, weight + o * $even, sums + o);
        $rest
        {
            $chain
        }
    }"""
REST = """\
for (int32_t c = $whole; c < $channels; c++) {
            sums[c] = bias[c];
            for (t = 0; t < $count; t++)
                sums[c] += (int32_t)at[t][c] * few[(c - $whole) * $count + t];
        }"""
MULTIPLY = """\
/* 16 sums: `bias`, and of each tap the product of its channels from `o` on and their weights */
static void $name(const $type *const *at, int32_t o, const int32_t *bias, const int16_t *w, $sum_type *sums)
{
    const __m256i a = _mm256_loadu_si256((const __m256i *)(const void *)bias);
    const __m256i b = _mm256_loadu_si256((const __m256i *)(const void *)(bias + 8));
    __m256i low = _mm256_permute2x128_si256(a, b, 0x20), high = _mm256_permute2x128_si256(a, b, 0x31);
    const __m256i *const pairs = (const __m256i *)(const void *)w;
    __m256i u, v;
    $steps
    _mm256_storeu_si256((__m256i *)(void *)sums, _mm256_permute2x128_si256(low, high, 0x20));
    _mm256_storeu_si256((__m256i *)(void *)(sums + 8), _mm256_permute2x128_si256(low, high, 0x31));
}
"""
TAPS = """\
u = _mm256_cvtep${sign}8_epi16(_mm_loadu_si128((const __m128i *)(const void *)(at[$first] + o)));
v = _mm256_cvtep${sign}8_epi16(_mm_loadu_si128((const __m128i *)(const void *)(at[$second] + o)));
low = _mm256_add_epi32(low, _mm256_madd_epi16(_mm256_unpacklo_epi16(u, v), _mm256_loadu_si256(pairs + $first)));
high = _mm256_add_epi32(high, _mm256_madd_epi16(_mm256_unpackhi_epi16(u, v), _mm256_loadu_si256(pairs + $second)));"""


def _why_not(task: Task) -> str:
    call, (x,) = task.call, task.inputs
    outputs, depth = call.weight.shape[:2]
    if depth != 1 or outputs != call.groups:
        return "a channel's output depends on other channels too"
    if outputs < STEP:
        return "there are fewer than 16 channels"
    if x.type not in (INT8, UINT8) or seen(call) not in x.type.range:
        return "x does not fit a byte"
    return "" if call.weight.range in INT16.range else "a weight does not fit 16 bits"


def _write(task: Task, body: Body) -> str:
    (x,), call = task.inputs, task.call
    channels, *sizes = x.shape
    kernel = call.weight.shape[2:]
    count = math.prod(kernel)
    even, whole = count + count % 2, channels - channels % STEP
    weight = call.weight.data.reshape(channels, count)
    for name, data, type in (("bias", call.bias.data, WORD), ("weight", _paired(weight[:whole]), INT16)):
        body.table(name, data, type)
    if channels > whole:
        body.table("few", weight[whole:])
    border = "{ at[t++] = border; continue; }"
    return filled(
        C,
        type=x.type.name,
        even=even,
        border=body.memory("border", x.type, channels),
        sums=body.memory("sums", WORD, channels),
        channels=channels,
        pad=literal(call.pad_value),
        rows=task.places,
        origins=origins(call, Window.over(call, kernel).output(*sizes), "p"),
        taps=taps(kernel),
        looks=looks(call, kernel, sizes, border),
        element=element(sizes, channels),
        odd="at[t] = border;" if count % 2 else "",
        whole=whole,
        multiply=_multiply(task, body, even),
        rest=filled(REST, whole=whole, channels=channels, count=count) if channels > whole else "",
        chain=in_lanes(task, body, "sums[o]", 3),
    )


def _paired(weight: Integers) -> Integers:
    """(channels, taps) -> for each 16 channels and two taps, the weights of both side by side, in that order."""
    whole = np.pad(weight, [(0, 0), (0, weight.shape[1] % 2)])
    blocks = whole.reshape(-1, STEP, whole.shape[1] // 2, 2)[:, ORDER]
    return np.moveaxis(blocks, 1, 2).reshape(-1)


def _multiply(task: Task, body: Body, even: int) -> str:
    type = task.inputs[0].type
    sign = "u" if type is UINT8 else "i"
    steps = [filled(TAPS, sign=sign, first=t, second=t + 1) for t in range(0, even, 2)]
    text = indented("\n".join(steps).splitlines(), 1).lstrip()
    return body.helper(f"channels_{even}_{type.dtype}", MULTIPLY, type=type.name, sum_type=body.held(WORD), steps=text)


KERNEL = Kernel(
    ops=("conv2d", "conv3d"),
    write=_write,
    cost=lambda task: 0.04 * task.output.elements * math.prod(task.call.weight.shape[2:]) + 0.3 * task.output.elements,
    why_not=_why_not,
    order=layer,
    when=AVX2,
)
