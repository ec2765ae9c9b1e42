"""Convolutions and linears by VNNI in registers of 256 bits: products of four bytes are added in 32, nothing saturates.

Signed integers are raised by 128, and the bias is lowered by as much; C1 of the op makes 32 bits wide enough.
"""

from __future__ import annotations

from ..body import Body
from ..gemm import Image, bytes_meet, cost, pairs, panels, taps, written
from ..gemm_tile import Form
from ..integers import UINT8
from ..kernel import Kernel, Task
from ..registers import four_products
from ..tensors import layer
from ..variants import VNNI_256


def _form(add: str = "") -> Form:
    return Form(name="dots_256", add=f"{add}(sum, x, w)")


NANOSECONDS = 2.4
"""Of a step: as many for an output as registers of 512 bits take where there are few pixels."""


def _write(task: Task, body: Body) -> str:
    image, form = Image.of(task, UINT8), _form(four_products(body))
    return written(task, body, form, image, panels(pairs(taps(task, image), UINT8, form.panel)), "")


KERNEL = Kernel(
    ops=("conv2d", "conv3d", "linear"),
    write=_write,
    cost=lambda task: cost(task, Image.of(task, UINT8), _form(), NANOSECONDS),
    why_not=bytes_meet,
    order=layer,
    when=VNNI_256,
)
