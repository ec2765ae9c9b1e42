"""Convolutions and linears by AVX2's multiply-add of 16 bits: x is widened, and no pair of products can saturate.

The products of two elements are added in 32 bits, which C1 of the op makes wide enough in any order. Weights that fit
bytes lie in memory as such, and are widened where they are met.
"""

from __future__ import annotations

from dataclasses import replace

from ..body import Body
from ..gemm import Image, cost, pairs, panels, taps, written
from ..gemm_tile import Form
from ..integers import INT8, INT16
from ..kernel import Kernel, Task
from ..tensors import layer
from ..variants import AVX2
from ..windows import seen

WORDS = Form(name="words", add="_mm256_add_epi32(sum, _mm256_madd_epi16(x, w))")
BYTES = replace(
    WORDS, name="widened", widened="_mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(const void *)({})))"
)
NANOSECONDS = 2.6
"""Of a step, which is two elements."""


def _why_not(task: Task) -> str:
    call = task.call
    if seen(call) not in INT16.range:
        return "x does not fit 16 bits"
    if call.weight.range not in INT16.range:
        return "a weight does not fit 16 bits"
    return "channels are in groups" if call.attributes.get("groups", 1) != 1 else ""


def _form(task: Task) -> Form:
    return BYTES if task.call.weight.range in INT8.range else WORDS


def _write(task: Task, body: Body) -> str:
    image, form = Image.of(task, INT16), _form(task)
    return written(task, body, form, image, panels(pairs(taps(task, image), INT16, form.panel)), "")


KERNEL = Kernel(
    ops=("conv2d", "conv3d", "linear"),
    write=_write,
    cost=lambda task: cost(task, Image.of(task, INT16), _form(task), NANOSECONDS),
    why_not=_why_not,
    order=layer,
    when=AVX2,
)
