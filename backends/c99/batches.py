"""What runs batches here, in C: on integers, and between the real ends that `Compiled` has. No emitted file has it."""

from __future__ import annotations

from dataclasses import dataclass

from ..fixed.program import Port, Program
from .tensors import Tensor
from .unit import Unit

WHOLE = 2**24
"""Up to this, float32 holds every integer."""
BATCH = """\
void $name_batch(const void *const *where, int64_t samples, $integers)
{
    $name_constants(where);
    for (int64_t n = 0; n < samples; n++)
        $name_run($places);
}"""
READ = """\
static int $name_read_$type(const float *restrict x, $type *restrict q, int64_t size, const double *end)
{
    const float step = (float)end[0], least = (float)end[1], most = (float)end[2];
    const int32_t zero = (int32_t)end[3];
    int odd = 0;
    for (int64_t i = 0; i < size; i++) {
        float t = x[i] / step;
        t = t + 0.5f;
        odd |= !(x[i] - x[i] == 0.0f);
        t = t > least ? t : least;
        t = t < most ? t : most;
        const int32_t whole = (int32_t)t;
        q[i] = ($type)(whole - (t < (float)whole) + zero);
    }
    return odd;
}"""
"""Whether an element is no finite number; if all are, the integers: floor(x / step + 1/2) kept between both ends.

One operation a statement: each result is rounded to float32 there, whatever registers hold.
"""
WRITE = """\
static void $name_write_$type(const $type *restrict q, float *restrict y, int64_t size, const double *end)
{
    for (int64_t i = 0; i < size; i++)
        y[i] = (float)(((double)q[i] - end[3]) * end[0]);
}"""
REAL = """\
int $name_real(const void *const *where, const double *ends, int64_t samples, $floats)
{
$buffers
    $name_constants(where);
    for (int64_t n = 0; n < samples; n++) {
        if ($reads)
            return 1;
        $name_run($buffered);
$writes
    }
    return 0;
}"""
"""Whether an input holds infinity or not-a-number. ends: four numbers for each input and output, as in `numbers`."""


@dataclass(frozen=True)
class _Place:
    """An input or output in C. row: which four of the numbers are its own."""

    side: str
    index: int
    row: int
    tensor: Tensor

    @property
    def name(self) -> str:
        return f"{self.side}{self.index}"

    def parameter(self, type: str) -> str:
        return f"{'const ' if self.side == 'in' else ''}{type} *{self.name}"

    @property
    def sample(self) -> str:
        return f"{self.name} + n * {self.tensor.elements}"

    @property
    def buffer(self) -> str:
        return f"    static __thread {self.tensor.type.name} q_{self.name}[{self.tensor.elements}];"

    def read(self, unit: str) -> str:
        return f"{unit}_read_{self._passed(self.sample, f'q_{self.name}')}"

    def write(self, unit: str) -> str:
        return f"        {unit}_write_{self._passed(f'q_{self.name}', self.sample)};"

    def _passed(self, source: str, target: str) -> str:
        return f"{self.tensor.type.name}({source}, {target}, {self.tensor.elements}, ends + {4 * self.row})"


def batches(unit: Unit) -> str:
    """`NAME_batch` for integers of the types of the ports, and `NAME_real` for float32."""
    program, values = unit.schedule.program, unit.schedule.values
    inputs = [_Place("in", i, i, values[port.value]) for i, port in enumerate(program.inputs)]
    outputs = [_Place("out", i, len(inputs) + i, values[port.value]) for i, port in enumerate(program.outputs)]
    both, types = [*inputs, *outputs], [{place.tensor.type.name for place in side} for side in (inputs, outputs)]
    known = {
        "integers": ", ".join(place.parameter(place.tensor.type.name) for place in both),
        "places": ", ".join(place.sample for place in both),
        "floats": ", ".join(place.parameter("float") for place in both),
        "buffers": "\n".join(place.buffer for place in both),
        "reads": " | ".join(place.read(unit.name) for place in inputs),
        "buffered": ", ".join(f"q_{place.name}" for place in both),
        "writes": "\n".join(place.write(unit.name) for place in outputs),
    }
    text = "\n\n".join([BATCH, *_each(READ, types[0]), *_each(WRITE, types[1]), REAL] if inputs else [BATCH])
    for key, filling in {**known, "name": unit.name}.items():
        text = text.replace(f"${key}", filling)
    return text


def _each(helper: str, types: set[str]) -> list[str]:
    return [helper.replace("$type", name) for name in sorted(types)]


def numbers(program: Program) -> list[float] | None:
    """Step, least, most and zero of each input and output; None where float32 does not hold what `Compiled` rounds."""
    rows = [_row(program, port) for port in (*program.inputs, *program.outputs)]
    for step, least, most, zero in rows[: len(program.inputs)]:
        integers = (least, most, zero, least + zero, most + zero)
        if max(map(abs, integers)) > WHOLE or not 2.0**-149 <= step < 2.0**128:
            return None
    return [number for row in rows for number in row] if program.inputs else None


def _row(program: Program, port: Port) -> tuple[float, float, float, float]:
    legal = program.values[port.value].range
    return port.scale, legal.lo - port.zero, legal.hi - port.zero, port.zero
