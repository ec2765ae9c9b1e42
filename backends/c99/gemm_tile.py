"""The inner loop of products of matrices: some pixels by a panel of outputs, four bytes of each pixel a step."""

from __future__ import annotations

from dataclasses import dataclass

from .body import Body, filled, indented
from .integers import WORD
from .registers import YMM, Register

STEP = 4
"""Bytes of a pixel that a step takes."""
PIN = """\
/* Without this gcc moves products ahead, runs out of registers and keeps sums in memory. */
#if defined(__GNUC__) || defined(__clang__)
#define $name(v) __asm__("" : "+$pin"(v))
#else
#define $name(v) (void)(v)
#endif
"""
C = """\
static $register $name_four(const uint8_t *p)
{
    int32_t four;
    memcpy(&four, p, 4);
    return $every;
}

static $register $name_sum($register sum, $register x, $register w)
{
    return $add;
}

/* `bias`, and `count` runs of `length` bytes behind each pixel, times a panel of weights$told. */
static void $name(const uint8_t *const *x, const int32_t *runs, int32_t count, int32_t length, const int32_t *bias,
                  const int8_t *w$more, $sum_type *sums, int32_t stride)
{
    const $register $biases;
    $register v, $weights;
    $loops
    $stores
}
"""
RUN = """\
$pointers
for (int32_t k = 0; k < length; k += 4, w += $bytes) {
    $loads
    $steps
}"""

EACH_RUN = """\
$register $start;
    for (int32_t r = 0; r < count; r++) {
$run
    }"""


@dataclass(frozen=True)
class Form:
    """A way to add up products. add: the sum, from `sum`, `x` and `w`.   more, told: its parameters besides, and what
    they are.   loops: from b0, b1 to the sums, with the $names of `tile`; by default each run in its turn.

    register, registers: of which kind, and how many, hold the sums of a pixel, two at most.   rows: the most pixels.
    widened: a register of weights, of half as many bytes from the address {} on; by default they lie as they are met.
    """

    name: str
    add: str
    more: str = ""
    told: str = ""
    loops: str = EACH_RUN
    register: Register = YMM
    registers: int = 2
    rows: int = 6
    widened: str = ""

    @property
    def size(self) -> int:
        """Bytes in memory of a register of weights."""
        return STEP * self.register.lanes // (2 if self.widened else 1)

    @property
    def loaded(self) -> str:
        """A register of the weights at the address {}."""
        return self.widened or self.register.loaded

    @property
    def panel(self) -> int:
        """Outputs whose sums are made at once."""
        return self.registers * self.register.lanes

    def tile(self, places: int) -> int:
        """Pixels at once where there are so many: about as many in each tile."""
        return -(-places // -(-places // self.rows))


def tile(body: Body, form: Form, rows: int) -> str:
    """The name of the function for that many pixels; it is made known to the body.

    A form's loops may refer to $run, the loop over one run; to $single, the step of `rest` at `places[e]`; and, for
    sums of 16 bits, to $zeros, $whole, $widen and $back: their start, the sums of 32 bits, and the way there.
    """
    register, each = form.register, range(form.registers)
    short = f"{form.name}_{rows}x{form.panel}"
    text = C.replace("$name_", f"{body.prefix}_{short}_")
    stores = [
        register.stored.format(f"sums + {i} * stride + {r * register.lanes}", sum)
        for i, pixel in enumerate(_sums(form, rows))
        for r, sum in enumerate(pixel)
    ]
    return body.helper(
        short,
        text,
        add=form.add,
        told=form.told,
        more=form.more,
        sum_type=body.held(WORD),
        register=register.type,
        every=register.every("four"),
        biases=", ".join(f"b{r} = {register.loaded.format(f'bias + {register.lanes * r}')}" for r in each),
        weights=", ".join(f"w{r}" for r in each),
        loops=_loops(body, form, rows, f"{body.prefix}_{short}"),
        stores="\n    ".join(stores),
    )


def _sums(form: Form, rows: int) -> list[list[str]]:
    """The names of the sums of each pixel."""
    return [[f"{'cd'[r]}{i}" for r in range(form.registers)] for i in range(rows)]


def _loops(body: Body, form: Form, rows: int, name: str) -> str:
    register, pixels = form.register, _sums(form, rows)
    sums = [sum for pixel in pixels for sum in pixel]
    starts = [f"b{r}" for pixel in pixels for r in range(len(pixel))]
    run = filled(
        RUN,
        pointers=" ".join(f"const uint8_t *const p{i} = x[{i}] + runs[r];" for i in range(rows)),
        bytes=form.size * form.registers,
        loads="\n    ".join(f"w{r} = {form.loaded.format(f'w + {form.size * r}')};" for r in range(form.registers)),
        steps=indented(_step(body, form, pixels, name, "p{} + k"), 1).lstrip(),
    )
    widen = "{0} = _mm256_add_epi32({0}, _mm256_madd_epi16({1}, _mm256_set1_epi16(1))); {1} = _mm256_setzero_si256();"
    return filled(
        form.loops,
        register=register.type,
        start=", ".join(f"{sum} = {start}" for sum, start in zip(sums, starts, strict=True)),
        run=indented(run.splitlines(), 2),
        single="\n        ".join(_step(body, form, pixels, name, "x[{}] + places[e]")),
        zeros=", ".join(f"{sum} = _mm256_setzero_si256()" for sum in sums),
        whole=", ".join(starts),
        widen="\n        ".join(widen.format(f"whole[{i}]", sum) for i, sum in enumerate(sums)),
        back=" ".join(f"{sum} = whole[{i}];" for i, sum in enumerate(sums)),
    )


def _step(body: Body, form: Form, pixels: list[list[str]], name: str, place: str) -> list[str]:
    """The products of four bytes of each pixel."""
    pin = body.helper(f"PIN_{form.register.pin}", PIN, pin=form.register.pin)
    lines = []
    for i, pixel in enumerate(pixels):
        add = [f"{sum} = {name}_sum({sum}, v, w{r}); {pin}({sum});" for r, sum in enumerate(pixel)]
        lines.append(f"v = {name}_four({place.format(i)}); {' '.join(add)}")
    return lines
