"""Convolutions of each channel on its own by VNNI's multiply-add of bytes: 32 channels at a time, four taps a step.

The bytes of four taps are brought side by side, channel by channel. x lies in the image itself or in a copy of it with
its border, raised by 128 where it has a sign; the bias is lowered by as much. Where channels are no multiple of 32 the
last 32 overlap with those before them.
"""

from __future__ import annotations

import math

import numpy as np

from ....compiler.arrays import Integers
from ..body import Body, filled, indented
from ..gemm import Image, bytes_fit, laid
from ..integers import INT8, UINT8, WORD
from ..kernel import Kernel, Task
from ..lanes import in_lanes
from ..registers import four_products
from ..tensors import layer
from ..variants import VNNI_256

STEP, TAPS, PIXELS = 32, 4, 16
ORDER = np.arange(STEP).reshape(2, 4, 4).swapaxes(0, 1).reshape(-1)
"""The channels as the four registers of sums hold them, whose halves are unpacked apart."""
C = """\
    $image
    $sums
    const uint8_t *pixels[$block];
$fill
    for (int32_t first = 0; first < $rows; first += $block) {
        const int32_t some = $rows - first < $block ? $rows - first : $block;
        for (int32_t i = 0; i < some; i++) {
            const int32_t q = first + i;
            pixels[i] = $source + $pixel;
        }
        for (int32_t n = 0; n < $chunks; n++) {
            const int32_t o = n < $chunks - 1 ? n * 32 : $channels - 32;
            $multiply(pixels, some, o, bias + n * 32, weight + n * $size, sums + o);
        }
        for (int32_t i = 0; i < some; i++) {
            const int32_t p = first + i;
            $chain
        }
    }"""
MULTIPLY = """\
/* 32 sums of each pixel: `bias`, and of each tap the product of its channels from `o` on and their weights */
static void $name(const uint8_t *const *x, int32_t some, int32_t o, const int32_t *bias, const int8_t *w, $type *sums)
{
    const __m256i *const b = (const __m256i *)(const void *)bias, *const all = (const __m256i *)(const void *)w;
    const __m256i zero = _mm256_setzero_si256();
    const __m256i $weights;
    for (int32_t i = 0; i < some; i++, sums += $channels) {
        const uint8_t *const p = x[i] + o;
        __m256i *const to = (__m256i *)(void *)sums;
        __m256i t0, t1, t2, t3, u, v, s0, s1, s2, s3;
        s0 = _mm256_loadu_si256(b), s1 = _mm256_loadu_si256(b + 1);
        s2 = _mm256_loadu_si256(b + 2), s3 = _mm256_loadu_si256(b + 3);
        $steps
        _mm256_storeu_si256(to, _mm256_permute2x128_si256(s0, s1, 0x20));
        _mm256_storeu_si256(to + 1, _mm256_permute2x128_si256(s2, s3, 0x20));
        _mm256_storeu_si256(to + 2, _mm256_permute2x128_si256(s0, s1, 0x31));
        _mm256_storeu_si256(to + 3, _mm256_permute2x128_si256(s2, s3, 0x31));
    }
}
"""
FOUR = """\
$loads
u = _mm256_unpacklo_epi8(t0, t1), v = _mm256_unpacklo_epi8(t2, t3);
s0 = $add(s0, _mm256_unpacklo_epi16(u, v), w$a);
s1 = $add(s1, _mm256_unpackhi_epi16(u, v), w$b);
u = _mm256_unpackhi_epi8(t0, t1), v = _mm256_unpackhi_epi8(t2, t3);
s2 = $add(s2, _mm256_unpacklo_epi16(u, v), w$c);
s3 = $add(s3, _mm256_unpackhi_epi16(u, v), w$d);"""


def _why_not(task: Task) -> str:
    outputs, depth = task.call.weight.shape[:2]
    if depth != 1 or outputs != task.call.groups:
        return "a channel's output depends on other channels too"
    return "there are fewer than 32 channels" if outputs < STEP else bytes_fit(task)


def _write(task: Task, body: Body) -> str:
    call, image = task.call, Image.of(task, UINT8)
    channels, places = len(call.bias.data), _taps(task, image)
    weight = call.weight.data.reshape(channels, -1)
    starts = np.minimum(np.arange(0, channels, STEP), channels - STEP)
    chunks = starts[:, None] + ORDER
    body.table("bias", (call.bias.data - image.raised * weight.sum(axis=1))[chunks], WORD)
    body.table("weight", (packed := _packed(weight, chunks)), INT8)
    block = min(PIXELS, task.places)
    return filled(
        C,
        image=body.memory("image", UINT8, math.prod(image.sizes)) if image.copied else "",
        fill=laid(task, body, image) if image.copied else "",
        sums=body.memory("sums", WORD, block * channels),
        block=block,
        rows=task.places,
        source="image" if image.copied else "x0",
        pixel=image.pixel,
        chunks=len(chunks),
        channels=channels,
        size=packed[0].size,
        multiply=_multiply(body, channels, places),
        chain=in_lanes(task, body, f"sums[i * {channels} + o]", 3),
    )


def _taps(task: Task, image: Image) -> list[int]:
    """Where each tap of a window begins behind it."""
    channels = image.sizes[-1]
    return [run + place for run in image.runs for place in range(0, image.length, channels)]


def _packed(weight: Integers, chunks: Integers) -> Integers:
    """(channels, taps) -> (chunks, steps, 32 channels, 4 taps), with zeros where there is no tap."""
    whole = np.pad(weight, [(0, 0), (0, -weight.shape[1] % TAPS)])
    found: Integers = np.moveaxis(whole[chunks].reshape(*chunks.shape, -1, TAPS), 2, 1)
    return np.ascontiguousarray(found)


def _multiply(body: Body, channels: int, places: list[int]) -> str:
    steps = []
    for first in range(0, len(places), TAPS):
        reads = [f"_mm256_loadu_si256((const __m256i *)(const void *)(p + {at}))" for at in places[first:][:TAPS]]
        loads = [f"t{i} = {read};" for i, read in enumerate([*reads, *["zero"] * (TAPS - len(reads))])]
        numbers = {name: first + i for i, name in enumerate("abcd")}
        steps.append(filled(FOUR, loads="\n".join(loads), add=four_products(body), **numbers))
    loaded = ", ".join(f"w{i} = _mm256_loadu_si256(all + {i})" for i in range(TAPS * len(steps)))
    lines = "\n".join(steps).splitlines()
    return body.helper(
        f"channels_{channels}_{'_'.join(map(str, places))}",
        MULTIPLY,
        type=body.held(WORD),
        weights=loaded,
        channels=channels,
        steps=indented(lines, 2).lstrip(),
    )


KERNEL = Kernel(
    ops=("conv2d", "conv3d"),
    write=_write,
    cost=lambda task: (0.012 * math.prod(task.call.weight.shape[2:]) + 0.2) * task.output.elements,
    why_not=_why_not,
    order=layer,
    when=VNNI_256,
)
