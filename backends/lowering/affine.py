"""k x + t for each channel, k and t constants: an accumulator of one product, +-2^m q + round(t 2^m / (|k| s)).

m is as large as 32 bits allow, up to 20, so that t is as good as exact; 0 where there is no t. An x of many bits beside
a t that is far larger loses those that nobody could see.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ...compiler.arrays import Floats, Integers
from .lower import Node
from .real import Real
from .widening import beyond, shrunk

BITS, ROOM = 20, 2.0**30
"""The most that m may be, and the sum of magnitudes that an accumulator is given."""
NARROW = 2**17
"""The magnitude of integers of which nothing is seen beside a constant of 2^30."""


def affine(node: Node, x: Real, k: Floats | float, t: Floats | float) -> Real:
    """k x + t, of integers on a grid or of an accumulator; k and t broadcast against it as in the call."""
    sizes = node.builder[x.value].shape
    shape = np.broadcast_shapes(np.shape(k), np.shape(t))
    shape = (1,) * (len(sizes) + 1 - len(shape)) + shape
    if len(shape) != len(sizes) + 1 or shape[0] != 1:
        raise node.unsupported("it does not multiply and add one constant a channel")
    x = replace(x, value=_spread(node, x.value, shape[1:]))
    sizes = node.builder[x.value].shape
    rest = np.zeros(1) if x.rest is None else x.rest
    axes = {axis for axis, size in enumerate(shape[1:]) if size > 1}
    axes |= {x.axis} if max(x.scale.size, rest.size) > 1 else set()
    if len(axes) > 1:
        return _everywhere(node, x, k, np.broadcast_to(t, (1, *sizes)))
    axis = next(iter(axes), 0)
    channels = sizes[axis] if axes else 1
    k, t = (np.broadcast_to(np.asarray(v, np.float64).reshape(-1), channels) for v in (k, t))
    x, offset = _coarser(node, x, _excess(node, x, k, t), axis)
    weight, scale = _product(node, x, k, t)
    units = t / scale + weight * offset
    integers = np.floor(units + 0.5)
    value = multiplied(node, x.value, axis, weight, integers.astype(np.int64))
    return Real(value, scale if len(set(scale)) > 1 else scale[:1], axis=axis, wide=True, rest=units - integers)


def _spread(node: Node, value: int, sizes: Sequence[int]) -> int:
    """The value as often as constants of those sizes ask for, along axes where it has size 1."""
    for axis, size in enumerate(sizes):
        if size > node.builder[value].shape[axis] == 1:
            value = node.step("take", value, node.builder.shared(np.zeros(size, np.int64)), axis=axis)
    return value


def _everywhere(node: Node, x: Real, k: Floats | float, t: Floats) -> Real:
    """k x + t with t for each element: all have one scale."""
    sizes = node.builder[x.value].shape
    if np.size(k) > 1 or x.scale.size > 1:
        raise node.unsupported("it does not multiply and add one constant a channel")
    every, real = np.full(t.size, np.asarray(k, np.float64).item()), t.reshape(-1).astype(np.float64)
    x, offset = _coarser(node, x, _excess(node, x, every, real, alike=True), 0)
    weight, scale = _product(node, x, every, real, alike=True)
    bias = np.floor(real / scale + weight * offset + 0.5).astype(np.int64)
    flat = node.shaped(x.value, (t.size,))
    return Real(node.shaped(multiplied(node, flat, 0, weight, bias), sizes), scale[:1], wide=True)


def _excess(node: Node, x: Real, k: Floats, t: Floats, alike: bool = False) -> Integers:
    """The bits that x has too many of, for each channel or for all, where t is far larger than its unit."""
    if not alike and _magnitude(node, x) <= NARROW:
        return np.zeros(1, np.int64)
    units = np.abs(t) / np.where(k == 0, np.inf, np.abs(k) * x.scale * ROOM)
    bits = np.where(units < 1, 0, np.floor(np.log2(np.maximum(units, 1))) + 1).astype(np.int64)
    return bits.max(keepdims=True) if alike else bits


def _coarser(node: Node, x: Real, bits: Integers, axis: int) -> tuple[Real, Floats]:
    """(x, what is added to its integers) in units that are 2^bits as large."""
    offset = (np.zeros(1) if x.rest is None else x.rest) - x.zero
    if not bits.any():
        return x, offset
    bits = bits + beyond(node, x.value)
    return replace(x, value=shrunk(node, x.value, bits, axis), scale=x.scale * 2.0**bits, zero=0), offset / 2.0**bits


def _magnitude(node: Node, x: Real) -> int:
    return node.builder[x.value].range.magnitude + abs(x.zero)


def _product(node: Node, x: Real, k: Floats, t: Floats, alike: bool = False) -> tuple[Integers, Floats]:
    """(weight, scale), each (channels,): weight q stands for scale times itself, k x.   alike: all of one scale."""
    step, magnitude = np.abs(k) * x.scale, _magnitude(node, x)
    constant = step * ROOM <= np.abs(t)  # beside t nothing is seen of x
    step = np.where(constant, np.where(t == 0, 1.0, np.abs(t) * 2.0**-BITS), step)
    m = np.floor(np.log2(ROOM / (magnitude + np.abs(t) / step))).clip(0, BITS) * ~constant
    m = np.full_like(m, m.min()) if alike else m * bool(t.any())
    weight = (np.sign(k) * 2.0**m * ~constant).astype(np.int64)
    return weight, step * 2.0**-m


def multiplied(node: Node, value: int, axis: int, weight: Integers, bias: Integers) -> int:
    """weight q + bias along an axis."""
    sizes = node.builder[value].shape
    order = (axis, *(other for other in range(len(sizes)) if other != axis))
    moved = tuple(sizes[place] for place in order)
    value = value if axis == 0 else node.step("transpose", value, axes=order)
    image = len(moved) == 3 and len(weight) == moved[0]
    value = node.shaped(value, moved if image else (len(weight), math.prod(sizes) // len(weight), 1))
    value = node.shaped(channelwise(node, value, weight, bias), moved)
    return value if axis == 0 else node.step("transpose", value, axes=tuple(np.argsort(order).tolist()))


def channelwise(node: Node, value: int, weight: Integers, bias: Integers) -> int:
    """weight q + bias for each channel of an image: a convolution of each with one weight."""
    return node.step(
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
