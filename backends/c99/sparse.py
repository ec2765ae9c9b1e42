"""Convolutions of which most weights are zeros: for a few weights that are none at a time, 64 pixels of their channels.

Channels are laid apart for that, and the sums turned back to rows of channels, 8 pixels at a time.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...compiler.arrays import Integers
from .body import Body, filled
from .gemm import RAISED
from .integers import UINT8, WORD, Integer, literal
from .kernel import Task
from .lanes import in_lanes
from .planes import OUTPUTS, PIXELS, Planes, laid, turned
from .windows import seen

C = """\
    $planes
    $sums
    $lines
    for (int32_t i = 0; i < $size; i++)
        planes[i] = $pad;
$rows
    for (int32_t first = 0; first < $pixels; first += 64)
        for (int32_t from = 0; from < $outputs; from += 64) {
            const int32_t to = $outputs - from < 64 ? $outputs : from + 64;
            for (int32_t n = from; n < to; n++)
                $multiply(planes + first, places + $together * starts[n], weight + starts[n], starts[n + 1] - starts[n],
                    bias[n], sums + (n - from) * 64);
            for (int32_t q = first; q < first + 64; q += 8) {
                $turn(sums + q - first, lines, to - from);
                for (int32_t i = 0; i < 8; i++) {
                    const int32_t p = (q + i) / $width * $columns + (q + i) % $width;
                    if (q + i >= $pixels || (q + i) % $width >= $columns)
                        continue;
                    $chain
                }
            }
        }"""


@dataclass(frozen=True)
class Groups:
    """Weights that are no zeros, some at a time, output by output. starts: of each output.   places: where the taps of
    each group begin.   weights: of each group; the last ones of an output may be beside zeros."""

    starts: Integers
    places: Integers
    weights: Integers

    @staticmethod
    def of(task: Task, together: int) -> Groups:
        flat = task.call.weight.data.reshape(len(task.call.bias.data), -1)
        places = Planes.of(task).taps().reshape(-1)
        counts = np.count_nonzero(flat, axis=1)
        starts = np.concatenate([[0], np.cumsum(-(-counts // together))])
        owner, at = np.nonzero(flat)
        slot = together * starts[owner] + np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
        weights, found = np.zeros((2, together * int(starts[-1])), np.int64)
        weights[slot], found[slot] = flat[owner, at], places[at]
        return Groups(starts, found.reshape(-1, together), weights.reshape(-1, together))

    def words(self, type: Integer) -> Integers:
        """The weights of each group as the bytes of one integer."""
        words: Integers = self.weights.astype("<i1").view(f"<i{type.size}").reshape(-1).astype(np.int64)
        return words


def raised(task: Task) -> int:
    """What is added to each x, whose bytes have no sign then."""
    return RAISED if seen(task.call).lo < 0 else 0


def written(task: Task, body: Body, groups: Groups, type: Integer, multiply: str) -> str:
    """The body of the function. type: of the weights of a group.   multiply: the function that makes 64 sums."""
    call, planes, more = task.call, Planes.of(task), raised(task)
    outputs, high, wide = task.output.shape
    bias = call.bias.data - more * call.weight.data.reshape(outputs, -1).sum(axis=1)
    for name, data, held in (("bias", bias, WORD), ("starts", groups.starts, WORD), ("places", groups.places, WORD),
                             ("weight", groups.words(type), type)):  # fmt: skip
        body.table(name, data if data.size else np.zeros(1, np.int64), held)
    return filled(
        C,
        planes=body.memory("planes", UINT8, planes.size),
        sums=body.memory("sums", WORD, PIXELS * OUTPUTS),
        lines=body.memory("lines", WORD, 8 * OUTPUTS),
        size=planes.size,
        pad=literal(call.pad_value + more),
        rows=laid(task, body, planes, more),
        pixels=(high - 1) * planes.width + wide,
        outputs=outputs,
        together=groups.places.shape[1],
        multiply=multiply,
        turn=turned(body),
        width=planes.width,
        columns=wide,
        chain=in_lanes(task, body, "lines[i * 64 + o - from]", 5, "from", "to"),
    )


def cost(task: Task, weight: float) -> float:
    """What a kernel takes that needs `weight` nanoseconds for a weight that is no zero and 64 pixels."""
    planes, outputs = Planes.of(task), len(task.call.bias.data)
    blocks = -(-(task.output.shape[1] * planes.width) // PIXELS)
    laid = 0.02 * planes.size + 0.15 * task.inputs[0].elements
    weights = int(np.count_nonzero(task.call.weight.data))
    return blocks * (weight * weights + 10 * outputs) + 0.5 * task.output.elements + laid
