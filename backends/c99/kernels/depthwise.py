"""Convolutions of each channel on its own: rows of sums, channels side by side, tap by tap."""

from __future__ import annotations

import math

from ...fixed.window import Window
from .. import weights
from ..body import Body, filled
from ..integers import WORD, literal, smallest
from ..kernel import Kernel, Task
from ..loops import finished
from ..tensors import layer
from ..windows import element, looks, origins, taps

C = """\
    $sums
    for (int32_t p = 0; p < $rows; p++) {
        const $weight_type *w = $weight;
        $origins
        for (int32_t o = 0; o < $channels; o++)
            sums[o] = $bias;
        $taps {
            $looks
            const $type *const from = x0 + $element;
            for (int32_t o = 0; o < $channels; o++)
                sums[o] += (int32_t)from[o] * w[o];
            w += $channels;
        }
        $chain
    }"""
BORDER = "{ for (int32_t o = 0; o < $channels; o++) sums[o] += $pad * w[o]; w += $channels; continue; }"
SKIP = "{ w += $channels; continue; }"


def _why_not(task: Task) -> str:
    outputs, depth = task.call.weight.shape[:2]
    return "" if depth == 1 and outputs == task.call.groups else "a channel's output depends on other channels too"


def _write(task: Task, body: Body) -> str:
    (x,), call = task.inputs, task.call
    channels, *sizes = x.shape
    kernel = call.weight.shape[2:]
    stored = smallest(call.weight.range)
    border = filled(BORDER if call.pad_value else SKIP, channels=channels, pad=f"(int32_t){literal(call.pad_value)}")
    return filled(
        C,
        sums=body.memory("sums", WORD, channels),
        rows=task.places,
        weight=weights.layer(body, call.weight.data.reshape(channels, -1).T, stored),
        weight_type=stored.name,
        origins=origins(call, Window.over(call, kernel).output(*sizes), "p"),
        channels=channels,
        bias=body.constant("bias", call.bias.data, "o", WORD),
        taps=taps(kernel),
        looks=looks(call, kernel, sizes, border),
        type=body.held(x.type),
        element=element(sizes, channels),
        chain=finished(task, body, "sums[o]", 2),
    )


KERNEL = Kernel(
    ops=("conv2d", "conv3d"),
    write=_write,
    cost=lambda task: 0.2 * task.output.elements * math.prod(task.call.weight.shape[2:]) + task.output.elements,
    why_not=_why_not,
    order=layer,
)
