"""Kernels that divide, in 64 bits on machine integers, once for numpy and torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .fixed.op import Call
from .fixed.ops.divide import quotient
from .fixed.ops.standardize import WIDE
from .stepwise import Kernel

if TYPE_CHECKING:
    from .arrays import Arrays


def divide(arrays: Arrays, call: Call) -> Kernel:
    def run(a: Any, b: Any) -> Any:
        top = arrays.cast(a, "int64") - call.zero_a
        below = (arrays.cast(b, "int64") - call.zero_b).clip(1, WIDE)
        found = quotient(top, below, call.multiplier, call.shift) + call.zero
        return arrays.cast(found.clip(call.lo, call.hi), "int32")

    return run


def standardize(arrays: Arrays, call: Call) -> Kernel:
    n = call.x.shape[-1]

    def run(x: Any) -> Any:
        c = arrays.cast(x, "int64") - call.zero
        mean = call.centred * c.sum(axis=-1, keepdims=True)
        spread = n * (c * c).sum(axis=-1, keepdims=True) - mean * mean
        low = root(arrays, (spread << (2 * call.fraction)) + call.epsilon)
        low = low.clip(1, WIDE)
        found = (((c * n - mean) << (call.fraction + call.unit + 1)) + low) // (2 * low)
        return arrays.cast(found.clip(call.lo, call.hi), "int32")

    return run


def root(arrays: Arrays, x: Any) -> Any:
    """floor(sqrt(x)) for x below 2^62: that of the floating-point number is off by at most one."""
    near = arrays.cast(arrays.cast(x, "float64") ** 0.5, "int64")
    near = near - arrays.cast(near * near > x, "int64")
    return near + arrays.cast((near + 1) * (near + 1) <= x, "int64")
