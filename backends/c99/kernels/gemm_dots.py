"""Convolutions and linears by VNNI's multiply-add of bytes, which adds four products in 32 bits: nothing saturates.

Signed integers are raised by 128, and the bias is lowered by as much; C1 of the op makes 32 bits wide enough.
"""

from __future__ import annotations

from ..body import Body
from ..gemm import Image, bytes_meet, cost, pairs, panels, taps, written
from ..gemm_tile import Form
from ..integers import UINT8
from ..kernel import VNNI, Kernel, Task
from ..tensors import layer

FORM = Form(
    name="dots",
    add="_mm256_dpbusd_epi32(sum, x, w)",
)
NANOSECONDS = 2.0
"""Of a step."""


def _write(task: Task, body: Body) -> str:
    image = Image.of(task, UINT8)
    return written(task, body, FORM, image, panels(pairs(taps(task, image), UINT8)), "")


KERNEL = Kernel(
    ops=("conv2d", "conv3d", "linear"),
    write=_write,
    cost=lambda task: cost(task, Image.of(task, UINT8), NANOSECONDS),
    why_not=bytes_meet,
    order=layer,
    when=VNNI,
)
