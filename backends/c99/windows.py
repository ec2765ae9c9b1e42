"""Texts of kernels that look through a window: where its taps meet the input, in nested loops over the taps."""

from __future__ import annotations

from collections.abc import Sequence

from ..fixed.op import Call
from ..fixed.types import Range
from ..fixed.window import Window


def seen(call: Call) -> Range:
    """The range of what the weights multiply."""
    pad = call.attributes.get("pad_value", 0)
    border = any(call.attributes.get("padding", ()))  # type: ignore[arg-type]
    return call.x.range | Range(pad, pad) if border else call.x.range  # type: ignore[arg-type, no-any-return]


def origins(call: Call, sizes: Sequence[int], pixel: str) -> str:
    """Declarations of b0, b1, ...: where the window of that pixel begins. sizes: of the output."""
    lines, rest = [], 1
    for axis in reversed(range(len(sizes))):
        index = pixel if rest == 1 else f"{pixel} / {rest}"
        index = f"{index} % {sizes[axis]}" if axis else index
        stride, before = call.stride[axis], call.padding[2 * axis]
        start = f"{index} * {stride}" if stride != 1 else index
        lines.append(f"const int32_t b{axis} = {start}{f' - {before}' if before else ''};")
        rest *= sizes[axis]
    return " ".join(reversed(lines))


def taps(kernel: Sequence[int]) -> str:
    """The heads of the loops over the taps k0, k1, ..."""
    return " ".join(f"for (int32_t k{axis} = 0; k{axis} < {size}; k{axis}++)" for axis, size in enumerate(kernel))


def looks(call: Call, kernel: Sequence[int], sizes: Sequence[int], border: str) -> str:
    """Declarations of a0, a1, ...: where the tap looks, and what to do where that is outside of the input."""
    dilation = Window.over(call, tuple(kernel)).dilation
    steps = [f"k{axis} * {step}" if step != 1 else f"k{axis}" for axis, step in enumerate(dilation)]
    places = " ".join(f"const int32_t a{axis} = b{axis} + {step};" for axis, step in enumerate(steps))
    tests = []
    for axis, size in enumerate(sizes):
        tests += [f"a{axis} < 0"] * bool(call.padding[2 * axis])
        tests += [f"a{axis} >= {size}"] * bool(call.padding[2 * axis + 1])
    return f"{places} if ({' || '.join(tests)}) {border}" if tests else places


def element(sizes: Sequence[int], channels: int) -> str:
    """Where the first channel of the place a0, a1, ... lies."""
    index = "a0"
    for axis, size in enumerate(sizes[1:], 1):
        index = f"({index}) * {size} + a{axis}"
    return f"({index}) * {channels}"
