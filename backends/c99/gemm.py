"""Convolutions and linears as products of matrices, straight from the image: what all such kernels share.

Pixels go in tiles, outputs in panels. Bytes of x lie as the weights meet them, in the image itself or in a
copy of it with its border, where integers may be raised, or widened to 16 bits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ...compiler.arrays import Integers
from ..fixed.types import INT32
from ..fixed.window import Window
from .body import Body, filled
from .gemm_tile import STEP, Form, tile
from .integers import INT8, UINT8, WORD, Integer, literal
from .kernel import Task
from .lanes import in_lanes
from .tensors import strides
from .windows import seen

RAISED = 128
PIXELS, OUTPUTS = 48, 64
"""Pixels that meet a panel of weights, outputs whose sums are finished, while these are in the nearest cache."""
C = """\
    $image
    $sums
    const uint8_t *pixels[$block];
$fill
    for (int32_t first = 0; first < $rows; first += $block) {
        const int32_t some = $rows - first < $block ? $rows - first : $block;
        for (int32_t i = 0; i < $block; i++) {
            const int32_t q = first + (i < some ? i : some - 1);
            pixels[i] = (const uint8_t *)($source + $pixel);
        }
        for (int32_t from = 0; from < $outputs; from += $stride) {
            const int32_t to = $outputs - from < $stride ? $outputs : from + $stride;
            for (int32_t n = from / $panel; n * $panel < to; n++)
                for (int32_t i = 0; i < some; i += $tile)
                    $multiply(pixels + i, runs, $count, $length, bias + n * $panel, weight + n * $size$more,
                        sums + i * $stride + n * $panel - from, $stride);
            for (int32_t i = 0; i < some; i++) {
                const int32_t p = first + i;
                $chain
            }
        }
    }"""
FILL = """\
    for (int32_t r = 0; r < $image_rows; r++) {
        $type *const to = image + r * $row;
        if ($outside) {
            for (int32_t c = 0; c < $row; c++)
                to[c] = $pad;
            continue;
        }
        for (int32_t c = 0; c < $before; c++)
            to[c] = $pad;
        for (int32_t c = 0; c < $inside; c++)
            to[$before + c] = ($type)(x0[($source) * $inside + c]$raise);
        for (int32_t c = $before + $inside; c < $row; c++)
            to[c] = $pad;
    }"""


@dataclass(frozen=True)
class Image:
    """Pixels and windows. sizes: with padding.   steps: elements from one output to the next, along each axis.

    runs: where each run of elements that a window meets begins behind it.   length: of each.   outputs: pixels, along
    each axis.   raised: what is added to each element.   copied: whether x lies otherwise.
    """

    sizes: tuple[int, ...]
    outputs: tuple[int, ...]
    steps: tuple[int, ...]
    runs: tuple[int, ...]
    length: int
    type: Integer
    raised: int
    copied: bool

    @staticmethod
    def of(task: Task, type: Integer) -> Image:
        """As elements of that type, bytes or 16 bits."""
        call, x = task.call, task.inputs[0]
        raised = RAISED if type is UINT8 and seen(call).lo < 0 else 0
        whole = STEP // type.size
        other = raised > 0 or x.type is not type
        if task.op == "linear":
            depth = x.last
            copied = other or depth % whole != 0
            return Image((task.places, depth), (task.places,), (depth,), (0,), depth, type, raised, copied)
        channels, *spread = x.shape
        kernel = call.weight.shape[2:]
        window = Window.over(call, kernel)
        padded = (*window.padded(*spread), channels)
        ways = strides(padded, tuple(range(len(padded))))
        steps = tuple(way * stride for way, stride in zip(ways, window.stride, strict=False))
        joined = window.dilation[-1] == 1
        taps = (*kernel[:-1], 1) if joined else kernel
        runs = tuple(int(np.dot(place, np.multiply(window.dilation, ways[:-1]))) for place in np.ndindex(*taps))
        length = channels * (kernel[-1] if joined else 1)
        copied = bool(window.pads) or other or length % whole != 0
        return Image(padded, window.output(*spread), steps, runs, length, type, raised, copied)

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


def bytes_meet(task: Task) -> str:
    """Why bytes of x, raised where they have a sign, cannot meet the weights of a product of matrices, or ""."""
    return "channels are in groups" if task.call.attributes.get("groups", 1) != 1 else bytes_fit(task)


def bytes_fit(task: Task) -> str:
    """Why x and weights are no bytes, or sums of raised bytes too large, or ""."""
    call, x = task.call, seen(task.call)
    if x not in UINT8.range and x not in INT8.range:
        return "x does not fit a byte"
    if call.weight.range not in INT8.range:
        return "a weight does not fit a byte"
    rows = np.abs(call.weight.data.reshape(len(call.weight.data), -1)).sum(axis=1)
    if 255 * int(rows.max()) + call.bias.range.magnitude + RAISED * int(rows.max()) not in INT32:
        return "sums of raised integers do not fit 32 bits"
    return ""


def taps(task: Task, image: Image) -> Integers:
    """The weights as windows meet them: (outputs, runs, length)."""
    outputs, depth = task.call.weight.shape[:2]
    moved: Integers = np.moveaxis(task.call.weight.data.reshape(outputs, depth, -1), 1, 2)
    return moved.reshape(outputs, len(image.runs), image.length)


def pairs(weight: Integers, type: Integer, panel: int) -> Integers:
    """(outputs, runs, length) -> (panels, panel, runs, steps, pairs of a step, 2), with zeros where nothing is."""
    outputs, count, length = weight.shape
    whole = STEP // type.size
    filled_up = np.pad(weight, [(0, -outputs % panel), (0, 0), (0, -length % whole)])
    return filled_up.reshape(-1, panel, count, filled_up.shape[2] // whole, whole // 2, 2)


def panels(paired: Integers) -> Integers:
    """(panels, runs, steps, elements): for each step, the weights of a panel's outputs, side by side."""
    moved = np.moveaxis(paired, 1, 3)
    return moved.reshape(*moved.shape[:3], -1)


def written(task: Task, body: Body, form: Form, image: Image, weight: Integers, more: str) -> str:
    """The body of the function. weight: the panels.   more: the form's arguments for panel n."""
    outputs = len(task.call.bias.data)
    count, steps = weight.shape[1:3]
    lowered = image.raised * task.call.weight.data.reshape(outputs, -1).sum(axis=1)
    bias = np.pad(task.call.bias.data - lowered, (0, len(weight) * form.panel - outputs))
    runs = np.array(image.runs) * image.type.size
    held = weight.astype("<i1" if image.type is UINT8 or form.widened else "<i2").view(np.int8)  # as x86 reads them
    for name, data, type in (("runs", runs, WORD), ("bias", bias, WORD), ("weight", held.astype(np.int64), INT8)):
        body.table(name, data, type)
    rows = form.tile(task.places)
    stride = min(len(weight), OUTPUTS // form.panel) * form.panel
    block = rows * min(PIXELS // rows, -(-task.places // rows))
    return filled(
        C,
        image=body.memory("image", image.type, math.prod(image.sizes) + 32) if image.copied else "",
        fill=laid(task, body, image) if image.copied else "",
        sums=body.memory("sums", WORD, block * stride),
        block=block,
        rows=task.places,
        source="image" if image.copied else "x0",
        pixel=image.pixel,
        outputs=outputs,
        tile=rows,
        panel=form.panel,
        multiply=tile(body, form, rows),
        count=count,
        length=STEP * steps,
        size=held[0].size,
        more=more,
        stride=stride,
        chain=in_lanes(task, body, f"sums[i * {stride} + o - from]", 4, "from", "to"),
    )


def laid(task: Task, body: Body, image: Image) -> str:
    """The loops that lay the image out with its border."""
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
        type=body.held(image.type),
        image_rows=math.prod(outer),
        row=width * channels,
        outside=" || ".join(tests) if any(padding) else "0",
        pad=literal(pad + image.raised),
        before=padding[-2] * channels,
        inside=sizes[-1] * channels,
        source=source,
        **{"raise": f" + {image.raised}" if image.raised else ""},
    )


def cost(task: Task, image: Image, form: Form, step: float) -> float:
    """What a kernel of that form takes, of which one step of a tile takes `step` nanoseconds."""
    outputs = len(task.call.bias.data)
    steps = len(image.runs) * -(-image.length * image.type.size // STEP)
    tiles = -(-task.places // form.rows) * -(-outputs // form.panel)
    copied = 0.1 * math.prod(image.sizes) if image.copied else 0.0
    return tiles * (steps * step + 10) + 0.3 * task.output.elements + copied
