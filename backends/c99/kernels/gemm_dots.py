"""Convolutions and linears by VNNI in registers of 512 bits: products of four bytes are added in 32, nothing saturates.

Signed integers are raised by 128, and the bias is lowered by as much; C1 of the op makes 32 bits wide enough.
"""

from __future__ import annotations

from dataclasses import replace

from ..body import Body
from ..gemm import Image, bytes_meet, cost, pairs, panels, taps, written
from ..gemm_tile import Form
from ..integers import UINT8
from ..kernel import Kernel, Task
from ..registers import ZMM
from ..tensors import layer
from ..variants import VNNI_512

TWO = Form(name="dots", add="_mm512_dpbusd_epi32(sum, x, w)", register=ZMM, registers=2, rows=12)
ONE = replace(TWO, registers=1)
NANOSECONDS = {TWO: 4.8, ONE: 3.2}
"""Of a step."""


def _cost(task: Task, form: Form) -> float:
    return cost(task, Image.of(task, UINT8), form, NANOSECONDS[form])


def _form(task: Task) -> Form:
    """The one with fewer outputs of a panel left empty."""
    return min(NANOSECONDS, key=lambda form: _cost(task, form))


def _write(task: Task, body: Body) -> str:
    image, form = Image.of(task, UINT8), _form(task)
    return written(task, body, form, image, panels(pairs(taps(task, image), UINT8, form.panel)), "")


KERNEL = Kernel(
    ops=("conv2d", "conv3d", "linear"),
    write=_write,
    cost=lambda task: _cost(task, _form(task)),
    why_not=bytes_meet,
    order=layer,
    when=VNNI_512,
)
