"""Convolutions and linears by AVX2's multiply-add of bytes: tiles of 6 pixels by 16 outputs, straight from the image.

`vpmaddubsw` adds two products of a byte and a weight in 16 bits, and saturates. Weights are constants, so it is known
which pairs could: x_max * (w_0 + w_1) beyond 16 bits. Of such a pair the second weight moves to a panel of its own,
which is met behind the others. Signed integers are raised by 128, and the bias is lowered by as much.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ....compiler.arrays import Integers
from ...fixed.types import INT32
from ...fixed.window import Window
from ..body import Body, filled
from ..bytes_tile import PANEL, tile
from ..integers import INT8, UINT8, WORD, literal
from ..kernel import Kernel, Task
from ..lanes import in_lanes
from ..tensors import layer, strides
from .patches import seen

BLOCK = 8
"""Tiles that meet a panel of weights while it is in the nearest cache."""
GROUP = 4
"""Panels whose sums are finished while they are in the nearest cache."""
RAISED = 128
C = """\
    $image
    $sums
    const uint8_t *pixels[$block];
$fill
    for (int32_t first = 0; first < $rows; first += $block) {
        const int32_t some = $rows - first < $block ? $rows - first : $block;
        for (int32_t i = 0; i < $block; i++) {
            const int32_t q = first + (i < some ? i : some - 1);
            pixels[i] = $bytes + $pixel;
        }
        for (int32_t from = 0; from < $outputs; from += $stride) {
            const int32_t to = $outputs - from < $stride ? $outputs : from + $stride;
            for (int32_t n = from / 16; n * 16 < to; n++)
                for (int32_t i = 0; i < some; i += $tile)
                    $multiply(pixels + i, runs, $count, $length, bias + n * 16, weight + n * $size, places + starts[n],
                        rest + starts[n] * 64, starts[n + 1] - starts[n], sums + i * $stride + n * 16 - from, $stride);
            for (int32_t i = 0; i < some; i++) {
                const int32_t p = first + i;
                $chain
            }
        }
    }"""
FILL = """\
    for (int32_t r = 0; r < $image_rows; r++) {
        uint8_t *const to = image + r * $row;
        if ($outside) {
            for (int32_t c = 0; c < $row; c++)
                to[c] = $pad;
            continue;
        }
        for (int32_t c = 0; c < $before; c++)
            to[c] = $pad;
        for (int32_t c = 0; c < $inside; c++)
            to[$before + c] = (uint8_t)(x0[($source) * $inside + c]$raise);
        for (int32_t c = $before + $inside; c < $row; c++)
            to[c] = $pad;
    }"""


@dataclass(frozen=True)
class Packed:
    """Weights in panels of 16 outputs, and what was moved out of pairs that saturate: where each such panel is met."""

    weight: Integers
    rest: Integers
    places: Integers
    starts: Integers

    @staticmethod
    def of(weight: Integers, runs: list[int], most: int) -> Packed:
        """weight: (outputs, runs, length).   runs: where each begins behind its pixel.   most: the largest x."""
        outputs, count, length = weight.shape
        whole = np.pad(weight, [(0, -outputs % PANEL), (0, 0), (0, -length % 4)])
        pairs = whole.reshape(-1, PANEL, count, whole.shape[2] // 4, 2, 2)
        ups, downs = np.maximum(pairs, 0).sum(-1) * most, np.minimum(pairs, 0).sum(-1) * most
        spill = (ups > 2**15 - 1) | (downs < -(2**15))
        moved = np.where(spill[..., None], pairs * np.array([0, 1]), 0)
        panels, extra = _panels(pairs - moved), _panels(moved)
        met = extra.any(axis=-1)
        offsets = np.add.outer(np.array(runs), 4 * np.arange(pairs.shape[3]))
        places = np.broadcast_to(offsets, met.shape)[met]
        starts = np.concatenate([[0], np.cumsum(met.sum(axis=(1, 2)))])
        return Packed(panels, extra[met], places, starts)


def _panels(pairs: Integers) -> Integers:
    """(panels, runs, steps, 64): for each step of 4 bytes, the weights of 16 outputs, 4 each."""
    moved = np.moveaxis(pairs, 1, 3)
    return moved.reshape(*moved.shape[:3], 4 * PANEL)


@dataclass(frozen=True)
class Image:
    """Pixels and windows in bytes. sizes: with padding.   steps: from one output to the next, along each axis.

    runs: where each run of bytes that a window meets begins behind it.   copied: whether x lies otherwise.
    """

    sizes: tuple[int, ...]
    outputs: tuple[int, ...]
    steps: tuple[int, ...]
    runs: list[int]
    copied: bool

    @staticmethod
    def of(task: Task) -> Image:
        call, x = task.call, task.inputs[0]
        signed = seen(call).lo < 0
        if task.op == "linear":
            depth = x.last
            return Image((task.places, depth), (task.places,), (depth,), [0], signed or depth % 4 != 0)
        channels, *sizes = x.shape
        kernel = call.weight.shape[2:]
        window = Window.over(call, kernel)
        padded = (*window.padded(*sizes), channels)
        ways = strides(padded, tuple(range(len(padded))))
        steps = tuple(way * stride for way, stride in zip(ways, window.stride, strict=False))
        joined = window.dilation[-1] == 1
        taps = (*kernel[:-1], 1) if joined else kernel
        runs = [int(np.dot(place, np.multiply(window.dilation, ways[:-1]))) for place in np.ndindex(*taps)]
        length = channels * (kernel[-1] if joined else 1)
        return Image(padded, window.output(*sizes), steps, runs, window.pads or signed or length % 4 != 0)

    @property
    def pixel(self) -> str:
        """Where the window of pixel q begins."""
        terms, rest = [], 1
        for axis in reversed(range(len(self.outputs))):
            index = "q" if rest == 1 else f"q / {rest}"
            terms.append(
                f"({index} % {self.outputs[axis]}) * {self.steps[axis]}" if axis else f"({index}) * {self.steps[0]}"
            )
            rest *= self.outputs[axis]
        return " + ".join(reversed(terms))


def _why_not(task: Task) -> str:
    call, x = task.call, seen(task.call)
    if x not in UINT8.range and x not in INT8.range:
        return "x does not fit a byte"
    if call.weight.range not in INT8.range:
        return "a weight does not fit a byte"
    if call.attributes.get("groups", 1) != 1:
        return "channels are in groups"
    rows = np.abs(call.weight.data.reshape(len(call.weight.data), -1)).sum(axis=1)
    if 255 * int(rows.max()) + call.bias.range.magnitude + RAISED * int(rows.max()) not in INT32:
        return "sums of raised integers do not fit 32 bits"
    return ""


def _write(task: Task, body: Body) -> str:
    call, image, x = task.call, Image.of(task), seen(task.call)
    outputs, depth = call.weight.shape[:2]
    raised = RAISED if x.lo < 0 else 0
    taps = np.moveaxis(call.weight.data.reshape(outputs, depth, -1), 1, 2).reshape(outputs, len(image.runs), -1)
    packed = Packed.of(taps, image.runs, x.hi + raised)
    panels, count, steps, size = packed.weight.shape
    bias = call.bias.data - raised * call.weight.data.reshape(outputs, -1).sum(axis=1)
    bias = np.pad(bias, (0, panels * PANEL - outputs))
    for name, data, type in (("runs", image.runs, WORD), ("bias", bias, WORD), ("weight", packed.weight, INT8),
                             ("rest", packed.rest, INT8), ("places", packed.places, WORD),
                             ("starts", packed.starts, WORD)):  # fmt: skip
        body.table(name, np.array(data) if len(data) else np.zeros(1, np.int64), type)
    rows = min(6, task.places)
    stride = min(panels, GROUP) * PANEL
    block = rows * min(BLOCK, -(-task.places // rows))
    return filled(
        C,
        image=body.memory("image", UINT8, math.prod(image.sizes) + 32) if image.copied else "",
        fill=_fill(task, image, raised) if image.copied else "",
        sums=body.memory("sums", WORD, block * stride),
        block=block,
        rows=task.places,
        pixel=image.pixel,
        outputs=outputs,
        tile=rows,
        multiply=tile(body, rows),
        count=count,
        length=4 * steps,
        size=count * steps * size,
        stride=stride,
        chain=in_lanes(task, body, f"sums[i * {stride} + o - from]", 4, "from", "to"),
        bytes="image" if image.copied else "x0",
    )


def _fill(task: Task, image: Image, raised: int) -> str:
    """The loops that lay the image out with its padding, raised to bytes without a sign."""
    call, linear = task.call, task.op == "linear"
    *outer, width, channels = (task.places, 1, task.inputs[0].last) if linear else image.sizes
    sizes = (task.places, 1) if linear else task.inputs[0].shape[1:]
    padding, pad = ((0, 0, 0, 0), 0) if linear else (call.padding, call.pad_value)
    tests, source, rest = [], "", 1
    for axis in reversed(range(len(outer))):
        place = f"(r / {rest} % {outer[axis]} - {padding[2 * axis]})"
        tests.append(f"{place} < 0 || {place} >= {sizes[axis]}")
        source = f"{place} * {math.prod(sizes[axis + 1 : -1])} + {source}" if source else place
        rest *= outer[axis]
    return filled(
        FILL,
        image_rows=math.prod(outer),
        row=width * channels,
        outside=" || ".join(tests) if any(padding) else "0",
        pad=literal(pad + raised),
        before=padding[-2] * channels,
        inside=sizes[-1] * channels,
        source=source,
        **{"raise": f" + {raised}" if raised else ""},
    )


def _cost(task: Task) -> float:
    outputs, *taps = task.call.weight.shape
    whole = -(-outputs // PANEL) * PANEL * math.prod(taps)
    return float(task.places * (0.014 * whole + outputs) + task.inputs[0].elements * 0.1)


KERNEL = Kernel(
    ops=("conv2d", "conv3d", "linear"), write=_write, cost=_cost, why_not=_why_not, order=layer, when="__AVX2__"
)
