"""Convolutions of which most weights are zeros, by VNNI in AVX-512: four weights that are none at a time, 64 pixels.

Four products of bytes are added in 32 bits, which C1 of the op makes wide enough: nothing saturates.
"""

from __future__ import annotations

from ..body import Body
from ..gemm import bytes_meet
from ..integers import WORD
from ..kernel import Kernel, Task
from ..sparse import Groups, cost, written
from ..tensors import layer
from ..variants import VNNI_512

MULTIPLY = """\
/* 64 sums: `bias`, and of each four weights the products with what lies behind x at their places */
static void $name(const uint8_t *x, const int32_t *places, const int32_t *w, int32_t count, int32_t bias, $type *sums)
{
    __m512i a, b, c, d, s0 = _mm512_set1_epi32(bias), s1 = s0, s2 = s0, s3 = s0;
    for (int32_t e = 0; e < count; e++, places += 4) {
        const __m512i four = _mm512_set1_epi32(w[e]);
        const __m512i p = _mm512_loadu_si512(x + places[0]), q = _mm512_loadu_si512(x + places[1]);
        const __m512i u = _mm512_loadu_si512(x + places[2]), v = _mm512_loadu_si512(x + places[3]);
        a = _mm512_unpacklo_epi8(p, q), b = _mm512_unpacklo_epi8(u, v);
        s0 = _mm512_dpbusd_epi32(s0, _mm512_unpacklo_epi16(a, b), four);
        s1 = _mm512_dpbusd_epi32(s1, _mm512_unpackhi_epi16(a, b), four);
        a = _mm512_unpackhi_epi8(p, q), b = _mm512_unpackhi_epi8(u, v);
        s2 = _mm512_dpbusd_epi32(s2, _mm512_unpacklo_epi16(a, b), four);
        s3 = _mm512_dpbusd_epi32(s3, _mm512_unpackhi_epi16(a, b), four);
    }
    a = _mm512_shuffle_i32x4(s0, s1, 0x88), b = _mm512_shuffle_i32x4(s0, s1, 0xdd);
    c = _mm512_shuffle_i32x4(s2, s3, 0x88), d = _mm512_shuffle_i32x4(s2, s3, 0xdd);
    _mm512_storeu_si512(sums, _mm512_shuffle_i32x4(a, c, 0x88));
    _mm512_storeu_si512(sums + 16, _mm512_shuffle_i32x4(b, d, 0x88));
    _mm512_storeu_si512(sums + 32, _mm512_shuffle_i32x4(a, c, 0xdd));
    _mm512_storeu_si512(sums + 48, _mm512_shuffle_i32x4(b, d, 0xdd));
}
"""
NANOSECONDS = 0.6
"""Of a weight and 64 pixels."""


def _why_not(task: Task) -> str:
    return "x does not lie in bytes" if task.inputs[0].type.size != 1 else bytes_meet(task)


def _write(task: Task, body: Body) -> str:
    multiply = body.helper("sixty_four", MULTIPLY, type=body.held(WORD))
    return written(task, body, Groups.of(task, 4), WORD, multiply)


KERNEL = Kernel(
    ops=("conv2d",),
    write=_write,
    cost=lambda task: cost(task, NANOSECONDS),
    why_not=_why_not,
    order=layer,
    when=VNNI_512,
)
