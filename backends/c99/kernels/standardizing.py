"""Layer norms: each row on its own, its sums in 64 bits."""

from __future__ import annotations

from ...fixed.types import Range
from ..body import Body, filled
from ..elements.divide import FLOOR
from ..integers import WORD, literal, plus
from ..kernel import Kernel, Task
from ..loops import finished
from ..rounding import clamped
from ..tensors import rows

ROOT = """\
/* the square root, rounded down: bit by bit */
static int64_t $name(int64_t n)
{
    uint64_t rest = (uint64_t)n, root = 0, bit = UINT64_C(1) << 62;
    for (; bit != 0; bit >>= 2) {
        const int larger = rest >= root + bit;
        rest -= larger ? root + bit : 0;
        root = (root >> 1) + (larger ? bit : 0);
    }
    return (int64_t)root;
}
"""
C = """\
    $codes
    for (int32_t p = 0; p < $rows; p++) {
        int64_t sum = 0, squares = 0, mean, root;
        for (int32_t o = 0; o < $n; o++) {
            const int64_t c = (int64_t)x0[p * $n + o]$centre;
            sum += c;
            squares += c * c;
        }
        mean = sum * $centred;
        root = $sqrt(($n * squares - mean * mean) * $fraction + $epsilon);
        root = root < 1 ? 1 : root;
        for (int32_t o = 0; o < $n; o++) {
            const int64_t d = $n * ((int64_t)x0[p * $n + o]$centre) - mean;
            int64_t t = $floor(d * $unit + root, 2 * root);
            $clamp
            codes[o] = (int32_t)t;
        }
        $chain
    }"""


def _write(task: Task, body: Body) -> str:
    call = task.call
    widest = Range(-(2**62), 2**62 - 1)
    return filled(
        C,
        codes=body.memory("codes", WORD, task.output.last),
        rows=task.places,
        n=task.output.last,
        centre=plus(-call.zero),
        centred=call.centred,
        sqrt=body.helper("square_root", ROOT),
        fraction=literal(1 << 2 * call.fraction),
        epsilon=literal(call.epsilon),
        floor=body.helper("floor_divide", FLOOR),
        unit=literal(1 << (call.fraction + call.unit + 1)),
        clamp=clamped("t", widest, call.lo, call.hi)[0],
        chain=finished(task, body, "codes[o]", 2),
    )


KERNEL = Kernel(ops=("standardize",), write=_write, cost=lambda task: 30.0 * task.output.elements, order=rows)
