"""Convolutions and linears by AVX2's multiply-add of bytes, which adds two products in 16 bits, and saturates.

Weights are constants, so it is known which pairs could saturate: x_max * (w_0 + w_1) beyond 16 bits. Of such a pair the
second weight moves to a panel of its own, which is met behind the others. Signed integers are raised by 128, and the
bias is lowered by as much.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ....compiler.arrays import Integers
from ..body import Body
from ..gemm import Image, bytes_meet, cost, pairs, panels, taps, written
from ..gemm_tile import EACH_RUN, STEP, Form
from ..integers import INT8, UINT8, WORD
from ..kernel import Kernel, Task
from ..tensors import layer
from ..variants import AVX2
from ..windows import seen

FORM = Form(
    name="bytes",
    add="_mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_maddubs_epi16(x, w), _mm256_set1_epi16(1)))",
    more=", const int32_t *places, const int8_t *rest, int32_t more",
    told="; then `more` single steps of `rest`",
    loops=f"""\
{EACH_RUN}
    for (int32_t e = 0; e < more; e++, rest += 64) {{
        w0 = _mm256_loadu_si256((const __m256i *)(const void *)rest);
        w1 = _mm256_loadu_si256((const __m256i *)(const void *)(rest + 32));
        $single
    }}""",
)
NANOSECONDS = 4.2
"""Of a step, and of one of `rest`."""


@dataclass(frozen=True)
class Packed:
    """Weights in panels of 16 outputs, and what was moved out of pairs that saturate: where each such panel is met."""

    weight: Integers
    rest: Integers
    places: Integers
    starts: Integers

    @staticmethod
    def of(task: Task, image: Image) -> Packed:
        paired = pairs(taps(task, image), UINT8, FORM.panel)
        most = seen(task.call).hi + image.raised
        ups, downs = np.maximum(paired, 0).sum(-1) * most, np.minimum(paired, 0).sum(-1) * most
        spill = (ups > 2**15 - 1) | (downs < -(2**15))
        moved = np.where(spill[..., None], paired * np.array([0, 1]), 0)
        main, extra = panels(paired - moved), panels(moved)
        met = extra.any(axis=-1)
        offsets = np.add.outer(np.array(image.runs), STEP * np.arange(paired.shape[3]))
        places = np.broadcast_to(offsets, met.shape)[met]
        starts = np.concatenate([[0], np.cumsum(met.sum(axis=(1, 2)))])
        return Packed(main, extra[met], places, starts)


def _write(task: Task, body: Body) -> str:
    image = Image.of(task, UINT8)
    packed = Packed.of(task, image)
    for name, data, type in (("rest", packed.rest, INT8), ("places", packed.places, WORD),
                             ("starts", packed.starts, WORD)):  # fmt: skip
        body.table(name, data if len(data) else np.zeros(1, np.int64), type)
    more = ", places + starts[n], rest + starts[n] * 64, starts[n + 1] - starts[n]"
    return written(task, body, FORM, image, packed.weight, more)


def _cost(task: Task) -> float:
    image = Image.of(task, UINT8)
    packed = Packed.of(task, image)
    steps = packed.weight.size + packed.rest.size
    return cost(task, image, FORM, NANOSECONDS * steps / packed.weight.size)


KERNEL = Kernel(
    ops=("conv2d", "conv3d", "linear"), write=_write, cost=_cost, why_not=bytes_meet, order=layer, when=AVX2
)
