"""Products of two matrices that are no constants: both less their zero points, widened, then as with weights."""

from __future__ import annotations

import math

from ...fixed.broadcast import centred
from ...fixed.op import Call
from ..body import Body, filled
from ..dots import LANES, dots
from ..integers import INT16, WORD, plus
from ..kernel import Kernel, Task
from ..loops import finished
from ..tensors import Order, Wanted, row_major

TILE = (4, 2)
C = """\
    $left
    $right
    $sums
    for (int32_t m = 0; m < $matrices; m++) {
        for (int32_t j = 0; j < $padded; j++)
            for (int32_t k = 0; k < $length; k++)
                right[j * $length + k] = ($type)(j < $columns && k < $depth ? $b : 0);
        for (int32_t first = 0; first < $rows; first += $tile) {
            for (int32_t i = 0; i < $tile; i++)
                for (int32_t k = 0; k < $length; k++)
                    left[i * $length + k] = ($type)(first + i < $rows && k < $depth ? $a : 0);
            for (int32_t j = 0; j < $padded; j += $step)
                $dots(left, right + j * $length, $length, sums + j, $padded);
            for (int32_t i = 0; i < $tile && first + i < $rows; i++) {
                const int32_t p = m * $rows + first + i;
                $chain
            }
        }
    }"""


def _write(task: Task, body: Body) -> str:
    a, b = task.inputs[0], task.inputs[-1]
    *outer, rows, depth = a.shape
    columns = b.shape[-2]
    type = INT16 if all(factor in INT16.range for factor in centred(task.call)) else WORD
    padded, length = columns + -columns % TILE[1], depth + -depth % LANES
    left = f"(int32_t){task.named(a)}[(m * {rows} + first + i) * {depth} + k]{plus(-task.call.zero_a)}"
    right = f"(int32_t){task.named(b)}[(m * {columns} + j) * {depth} + k]{plus(-task.call.zero_b)}"
    return filled(
        C,
        left=body.memory("left", type, TILE[0] * length),
        right=body.memory("right", type, padded * length),
        sums=body.memory("sums", WORD, TILE[0] * padded),
        matrices=math.prod(outer),
        padded=padded,
        length=length,
        type=body.held(type),
        columns=columns,
        depth=depth,
        b=right,
        rows=rows,
        tile=TILE[0],
        step=TILE[1],
        a=left,
        dots=dots(body, *TILE, type, type, WORD),
        chain=finished(task, body, f"sums[i * {padded} + o]", 4),
    )


def _order(call: Call, orders: tuple[Order, ...]) -> Wanted:
    rank = len(orders[0])
    return (row_major(rank),) * 2, row_major(rank)


def _cost(task: Task) -> float:
    return 0.05 * task.output.elements * task.inputs[0].shape[-1]


KERNEL = Kernel(ops=("matmul",), write=_write, cost=_cost, order=_order)
