"""Channels laid apart for AVX2, so that neighbouring pixels of one lie side by side; and sums turned back to rows."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ...compiler.arrays import Integers
from ..fixed.window import Window
from .body import Body, filled
from .integers import WORD
from .kernel import Task

PIXELS = OUTPUTS = 64
"""Sums that are made at a time: pixels of so many outputs."""
ROWS = """\
    for (int32_t r = 0; r < $count; r++) {
        uint8_t *const to = planes + (r + $top) % $stride * $plane + (r + $top) / $stride * $width;
        const $type *const from = x0 + r * $row;
        $copies
    }"""
COPY = """\
/* pixels that lie `step` apart, to rows of their own for each channel; these lie `plane` apart */
static void $name(uint8_t *to, const void *start, int32_t pixels, int32_t step, int32_t channels, int32_t plane)
{
    const uint8_t *const from = (const uint8_t *)start;
    const __m128i raised = _mm_set1_epi8((char)$raised);
    int32_t done = 0;
    for (; done + 8 <= pixels; done += 8)
        for (int32_t c = 0; c + 8 <= channels; c += 8) {
            const uint8_t *const p = from + done * step + c;
            uint8_t *const q = to + c * plane + done;
            __m128i v[8], w[4];
            for (int32_t i = 0; i < 8; i++)
                v[i] = _mm_loadl_epi64((const __m128i *)(const void *)(p + i * step));
            for (int32_t i = 0; i < 4; i++)
                w[i] = _mm_xor_si128(_mm_unpacklo_epi8(v[2 * i], v[2 * i + 1]), raised);
            for (int32_t i = 0; i < 2; i++) {
                v[i] = _mm_unpacklo_epi16(w[2 * i], w[2 * i + 1]);
                v[i + 2] = _mm_unpackhi_epi16(w[2 * i], w[2 * i + 1]);
            }
            for (int32_t i = 0; i < 2; i++) {
                w[2 * i] = _mm_unpacklo_epi32(v[2 * i], v[2 * i + 1]);
                w[2 * i + 1] = _mm_unpackhi_epi32(v[2 * i], v[2 * i + 1]);
            }
            for (int32_t i = 0; i < 4; i++) {
                _mm_storel_epi64((__m128i *)(void *)(q + 2 * i * plane), w[i]);
                _mm_storel_epi64((__m128i *)(void *)(q + (2 * i + 1) * plane), _mm_unpackhi_epi64(w[i], w[i]));
            }
        }
    for (int32_t c = 0; c < channels; c++, to += plane) {
        const int32_t first = c < channels / 8 * 8 ? done : 0;
        const uint8_t *p = from + first * step + c;
        for (int32_t i = first; i < pixels; i++, p += step)
            to[i] = (uint8_t)(*p ^ $raised);
    }
}
"""
TURN = """\
/* 8 pixels of each output, 64 apart, to 8 rows of outputs */
static void $name(const $type *from, $type *to, int32_t outputs)
{
    for (int32_t o = 0; o < outputs; o += 8, from += 8 * 64, to += 8) {
        __m256i v[8], w[8];
        for (int32_t i = 0; i < 8; i++)
            v[i] = _mm256_loadu_si256((const __m256i *)(const void *)(from + i * 64));
        for (int32_t i = 0; i < 8; i += 2) {
            w[i] = _mm256_unpacklo_epi32(v[i], v[i + 1]);
            w[i + 1] = _mm256_unpackhi_epi32(v[i], v[i + 1]);
        }
        for (int32_t i = 0; i < 8; i += 4)
            for (int32_t j = 0; j < 2; j++) {
                v[i + 2 * j] = _mm256_unpacklo_epi64(w[i + j], w[i + j + 2]);
                v[i + 2 * j + 1] = _mm256_unpackhi_epi64(w[i + j], w[i + j + 2]);
            }
        for (int32_t i = 0; i < 4; i++) {
            w[0] = _mm256_permute2x128_si256(v[i], v[i + 4], 0x20);
            w[1] = _mm256_permute2x128_si256(v[i], v[i + 4], 0x31);
            _mm256_storeu_si256((__m256i *)(void *)(to + i * 64), w[0]);
            _mm256_storeu_si256((__m256i *)(void *)(to + (i + 4) * 64), w[1]);
        }
    }
}
"""


@dataclass(frozen=True)
class Planes:
    """For each channel and each place within the stride: `height` rows of `width` pixels."""

    channels: int
    stride: tuple[int, int]
    height: int
    width: int
    window: Window

    @staticmethod
    def of(task: Task) -> Planes:
        channels, *sizes = task.inputs[0].shape
        window = Window.over(task.call, task.call.weight.shape[2:])
        down, across = window.stride
        high, wide = window.padded(*sizes)
        return Planes(channels, (down, across), -(-high // down), -(-wide // across), window)

    @property
    def plane(self) -> int:
        """Bytes of one channel at one place within the stride."""
        return self.height * self.width

    @property
    def channel(self) -> int:
        return math.prod(self.stride) * self.plane

    @property
    def size(self) -> int:
        """Bytes in all, with what the last pixels read beyond."""
        return self.channels * self.channel + PIXELS

    def taps(self) -> Integers:
        """Where each tap of each channel begins: (channels, kernel's elements)."""
        found = []
        for down, across in np.ndindex(*self.window.kernel):
            y, x = down * self.window.dilation[0], across * self.window.dilation[1]
            phase = y % self.stride[0] * self.stride[1] + x % self.stride[1]
            found.append(phase * self.plane + y // self.stride[0] * self.width + x // self.stride[1])
        places: Integers = np.add.outer(np.arange(self.channels) * self.channel, np.array(found))
        return places


def laid(task: Task, body: Body, planes: Planes, raised: int) -> str:
    """The loop that lays the rows of x out; all of them as one where nothing comes between."""
    channels, high, wide = task.inputs[0].shape
    (top, _, left, _), (down, across) = planes.window.padding, planes.stride
    if planes.width == wide and down == 1:
        high, wide = 1, high * wide
    copy = body.helper(f"apart_{raised}", COPY, raised=raised)
    calls = []
    for place in range(min(across, wide)):
        phase, column = (place + left) % across, (place + left) // across
        to = f"to + {phase * planes.plane + column}"
        count = -(-(wide - place) // across)
        calls.append(
            f"{copy}({to}, from + {place * channels}, {count}, {across * channels}, {channels}, {planes.channel});"
        )
    return filled(
        ROWS,
        count=high,
        top=top,
        stride=down,
        plane=across * planes.plane,
        width=planes.width,
        type=task.inputs[0].type.name,
        row=wide * channels,
        copies="\n        ".join(calls),
    )


def turned(body: Body) -> str:
    """The name of the function that turns sums: (from, to, outputs)."""
    return body.helper("turn", TURN, type=body.held(WORD))
