"""Convolutions and linears as products of matrices: what a few pixels see is laid out, then meets all weights.

A patch holds what one pixel sees, tap by tap, widened to 16 bits (or 32, where x or the weights need it), and zeros up
to a multiple of what vectors hold. Products and sums fit 32 bits by C1 of the op.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ....compiler.arrays import Integers
from ...fixed.window import Window
from .. import weights
from ..body import Body, filled
from ..dots import LANES, dots
from ..integers import INT16, WORD, Integer, literal, smallest
from ..kernel import Kernel, Task
from ..loops import finished
from ..tensors import layer
from ..windows import element, looks, origins, seen, taps

C = """\
    $patches
    $sums
    for (int32_t first = 0; first < $rows; first += $tile) {
        const int32_t some = $rows - first < $tile ? $rows - first : $tile;
        for (int32_t g = 0; g < $groups; g++) {
            for (int32_t i = 0; i < $tile; i++) {
                const int32_t q = first + (i < some ? i : some - 1);
                $type *to = patches + i * $length;
$gather
            }
            for (int32_t o = 0; o < $outputs; o += $columns) {
                $unpacked$dots(patches, $weight, $length, sums + g * $outputs + o, $stride);
            }
        }
        for (int32_t i = 0; i < some; i++) {
            const int32_t p = first + i;
            $chain
        }
    }"""
WINDOW = """\
                $origins
                $taps {
                    $looks
                    const $type *const from = x0 + $element + g * $depth;
                    for (int32_t c = 0; c < $depth; c++)
                        *to++ = from[c];
                }"""
BORDER = "{ for (int32_t c = 0; c < $depth; c++) *to++ = $pad; continue; }"
ROW = """\
                for (int32_t c = 0; c < $depth; c++)
                    *to++ = x0[q * $depth + c];"""
ZEROS = """
                for (int32_t c = 0; c < $more; c++)
                    *to++ = 0;"""


@dataclass(frozen=True)
class Product:
    """The weights as matrices, one a group: (groups, outputs, length), and the tile in which sums are computed.

    The rows of a single group are filled up with zeros to whole tiles.
    """

    weight: Integers
    rows: int
    columns: int
    type: Integer

    @staticmethod
    def of(task: Task) -> Product:
        call = task.call
        groups = call.attributes.get("groups", 1)
        outputs, depth = call.weight.shape[:2]
        taps = np.moveaxis(call.weight.data.reshape(outputs, depth, -1), 1, 2).reshape(groups, outputs // groups, -1)
        single = task.places == 1
        columns = 4 if single else 2
        if groups != 1 and taps.shape[1] % columns:
            columns = 1
        short = [(0, 0), (0, -taps.shape[1] % columns), (0, -taps.shape[2] % LANES)]
        narrow = seen(call) in INT16.range and call.weight.range in INT16.range
        return Product(np.pad(taps, short), 1 if single else 4, columns, INT16 if narrow else WORD)


def _write(task: Task, body: Body) -> str:
    made = Product.of(task)
    groups, outputs, length = made.weight.shape
    total = body.constant("bias", task.call.bias.data, "o", WORD)
    stored = WORD if made.type is WORD else smallest(task.call.weight.range)
    first = f"g * {outputs} + o"
    matrix, once = made.weight.reshape(-1, length), task.places <= made.rows
    unpacked, weight = weights.rows(body, matrix, stored, made.columns, first, once)
    return filled(
        C,
        patches=body.memory("patches", made.type, made.rows * length),
        sums=body.memory("sums", WORD, made.rows * groups * outputs),
        rows=task.places,
        tile=made.rows,
        groups=groups,
        type=body.held(made.type),
        length=length,
        gather=_gather(task, body, length),
        outputs=outputs,
        columns=made.columns,
        unpacked=unpacked and unpacked + "\n                ",
        weight=weight,
        dots=dots(body, made.rows, made.columns, made.type, stored, WORD),
        stride=groups * outputs,
        chain=finished(task, body, f"sums[i * {groups * outputs} + o] + {total}", 3),
    )


def _gather(task: Task, body: Body, length: int) -> str:
    call, x = task.call, task.inputs[0]
    depth, kernel = call.weight.shape[1], call.weight.shape[2:]
    zeros = filled(ZEROS, more=length - depth * math.prod(kernel)) if length > depth * math.prod(kernel) else ""
    if task.op == "linear":
        return filled(ROW, depth=depth) + zeros
    channels, *sizes = x.shape
    window = filled(
        WINDOW,
        origins=origins(call, Window.over(call, kernel).output(*sizes), "q"),
        taps=taps(kernel),
        looks=looks(call, kernel, sizes, filled(BORDER, depth=depth, pad=literal(call.pad_value))),
        type=body.held(x.type),
        element=element(sizes, channels),
        depth=depth,
    )
    return window + zeros


def _cost(task: Task) -> float:
    outputs, depth, *kernel = task.call.weight.shape
    groups, taps = task.call.attributes.get("groups", 1), math.prod(kernel)
    gathered = groups * taps * (1 + 0.2 * depth)
    product = 0.05 if task.places == 1 else 0.03  # a weight that is used once is loaded for it
    return float(task.places * (product * outputs * (depth * taps + -depth * taps % LANES) + gathered + outputs))


KERNEL = Kernel(ops=("conv2d", "conv3d", "linear"), write=_write, cost=_cost, order=layer)
