"""addcmul: k x + t for each channel, k and t constants: what a batch norm comes to that no layer takes in.

An accumulator of one product, +-2^m q + round(t 2^m / (|k| s)), with m as large as 32 bits allow, up to 20, so that t
is as good as exact.
"""

from __future__ import annotations

import math

import numpy as np
import torch

from ....compiler.arrays import Floats, Integers
from ..lower import Lowering, Node
from ..real import Lowered, Real

BITS, ROOM = 20, 2.0**30
"""The most that m may be, and the sum of magnitudes that an accumulator is given."""


def _build(node: Node) -> Lowered:
    x = node.on_grid("tensor1")
    sizes = node.builder[x.value].shape
    k, t = (_a_channel(node, name, sizes) for name in ("tensor2", "self"))
    weight, bias, scale = _product(node, x, *np.broadcast_arrays(k * node.given["value"], t))
    planes = (len(weight), math.prod(sizes) // len(weight), 1)
    value = x.value if sizes == planes else node.step("reshape", x.value, shape=planes)
    value = node.step(
        "conv2d",
        value,
        node.builder.shared(weight.reshape(-1, 1, 1, 1)),
        node.builder.shared(bias),
        stride=(1, 1),
        padding=(0, 0, 0, 0),
        dilation=(1, 1),
        groups=len(weight),
        pad_value=0,
    )
    value = value if sizes == planes else node.step("reshape", value, shape=sizes)
    return Real(value, scale if len(set(scale)) > 1 else scale[:1], axis=0, wide=True)


def _a_channel(node: Node, name: str, sizes: tuple[int, ...]) -> Floats:
    """The constant of each channel, or of all, (channels,) or (1,); without the batch, channels are the first axis."""
    constant = node.floats(name)
    if constant is None or constant.ndim > len(sizes) + 1 or constant.size not in (1, constant.shape[-len(sizes)]):
        raise node.unsupported("it does not multiply and add one constant a channel")
    return np.asarray(constant, dtype=np.float64).reshape(-1)


def _product(node: Node, x: Real, k: Floats, t: Floats) -> tuple[Integers, Integers, Floats]:
    """(weight, bias, scale), each (channels,): weight q + bias stands for scale times itself."""
    step, seen = np.abs(k) * float(x.scale[0]), node.builder[x.value].range
    magnitude = max(-seen.lo, seen.hi) + abs(x.zero)
    constant = step * ROOM <= np.abs(t)  # beside t nothing is seen of x
    step = np.where(constant, np.where(t == 0, 1.0, np.abs(t) * 2.0**-BITS), step)
    m = np.floor(np.log2(ROOM / (magnitude + np.abs(t) / step))).clip(0, BITS) * ~constant
    weight = (np.sign(k) * 2.0**m * ~constant).astype(np.int64)
    scale = step * 2.0**-m
    return weight, np.floor(t / scale + 0.5).astype(np.int64) - x.zero * weight, scale


LOWERING = Lowering(frozenset({torch.ops.aten.addcmul.default}), _build)
