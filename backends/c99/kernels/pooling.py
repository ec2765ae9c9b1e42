"""Max pooling: rows of the largest element so far, channels side by side."""

from __future__ import annotations

import math

from ...fixed.window import Window
from ..body import Body, filled
from ..integers import literal
from ..kernel import Kernel, Task
from ..loops import finished
from ..tensors import pixels
from ..windows import element, looks, origins, taps

C = """\
    $most
    for (int32_t p = 0; p < $rows; p++) {
        $origins
        for (int32_t o = 0; o < $channels; o++)
            most[o] = $least;
        $taps {
            $looks
            const $type *const from = x0 + $element;
            for (int32_t o = 0; o < $channels; o++)
                most[o] = from[o] > most[o] ? from[o] : most[o];
        }
        $chain
    }"""


def _write(task: Task, body: Body) -> str:
    (x,), call = task.inputs, task.call
    channels, *sizes = x.shape
    return filled(
        C,
        most=body.memory("most", x.type, channels),
        rows=task.places,
        origins=origins(call, Window.over(call).output(*sizes), "p"),
        channels=channels,
        least=literal(call.x.range.lo),
        taps=taps(call.kernel),
        looks=looks(call, call.kernel, sizes, "continue;"),
        type=body.held(x.type),
        element=element(sizes, channels),
        chain=finished(task, body, "most[o]", 2),
    )


KERNEL = Kernel(
    ops=("max_pool2d",),
    write=_write,
    cost=lambda task: float(task.output.elements * math.prod(task.call.kernel)),
    order=pixels,
)
