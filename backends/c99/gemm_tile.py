"""The inner loop of products of matrices in AVX2: some pixels by 16 outputs, four bytes of each pixel a step."""

from __future__ import annotations

from dataclasses import dataclass

from .body import Body, filled, indented
from .integers import WORD

PANEL = 16
STEP = 4
"""Bytes of a pixel that a step takes."""
PIN = """\
/* Without this gcc moves products ahead, runs out of registers and keeps sums in memory. */
#if defined(__GNUC__) || defined(__clang__)
#define $name(v) __asm__("" : "+x"(v))
#else
#define $name(v) (void)(v)
#endif
"""
C = """\
static __m256i $name_four(const uint8_t *p)
{
    int32_t four;
    memcpy(&four, p, 4);
    return _mm256_set1_epi32(four);
}

static __m256i $name_sum(__m256i sum, __m256i x, __m256i w)
{
    return $add;
}

/* `bias`, and `count` runs of `length` bytes behind each pixel, times a panel of weights$told. */
static void $name(const uint8_t *const *x, const int32_t *runs, int32_t count, int32_t length, const int32_t *bias,
                  const int8_t *w$more, $sum_type *sums, int32_t stride)
{
    const __m256i b0 = _mm256_loadu_si256((const __m256i *)(const void *)bias);
    const __m256i b1 = _mm256_loadu_si256((const __m256i *)(const void *)(bias + 8));
    __m256i v, w0, w1;
    $loops
    $stores
}
"""
RUN = """\
$pointers
for (int32_t k = 0; k < length; k += 4, w += 64) {
    w0 = _mm256_loadu_si256((const __m256i *)(const void *)w);
    w1 = _mm256_loadu_si256((const __m256i *)(const void *)(w + 32));
    $steps
}"""

EACH_RUN = """\
__m256i $start;
    for (int32_t r = 0; r < count; r++) {
$run
    }"""


@dataclass(frozen=True)
class Form:
    """A way to add up products. add: the sum, from `sum`, `x` and `w`.   more, told: its parameters besides, and what
    they are.   loops: from b0 and b1 to the sums, with the $names of `tile`; by default each run in its turn."""

    name: str
    add: str
    more: str = ""
    told: str = ""
    loops: str = EACH_RUN


def tile(body: Body, form: Form, rows: int) -> str:
    """The name of the function for that many pixels; it is made known to the body.

    A form's loops may refer to $run, the loop over one run; to $single, the step of `rest` at `places[e]`; and, for
    sums of 16 bits, to $zeros, $whole, $widen and $back: their start, the sums of 32 bits, and the way there.
    """
    pin = body.helper("PIN", PIN)
    short = f"{form.name}_{rows}x{PANEL}"
    sums = [f"{half}{i}" for i in range(rows) for half in "cd"]

    def step(place: str) -> list[str]:
        lines = []
        for i in range(rows):
            add = [f"{half}{i} = {name}_sum({half}{i}, v, w{w}); {pin}({half}{i});" for w, half in enumerate("cd")]
            lines.append(f"v = {name}_four({place.format(i)}); {' '.join(add)}")
        return lines

    name = f"{body.prefix}_{short}"
    pointers = " ".join(f"const uint8_t *const p{i} = x[{i}] + runs[r];" for i in range(rows))
    widen = "{0} = _mm256_add_epi32({0}, _mm256_madd_epi16({1}, _mm256_set1_epi16(1))); {1} = _mm256_setzero_si256();"
    store = "_mm256_storeu_si256((__m256i *)(void *)(sums + {} * stride + {}), {});"
    loops = filled(
        form.loops,
        start=", ".join(f"{each} = b{i % 2}" for i, each in enumerate(sums)),
        run=indented(filled(RUN, pointers=pointers, steps=indented(step("p{} + k"), 1).lstrip()).splitlines(), 2),
        single="\n        ".join(step("x[{}] + places[e]")),
        zeros=", ".join(f"{each} = _mm256_setzero_si256()" for each in sums),
        whole=", ".join(f"b{i % 2}" for i in range(len(sums))),
        widen="\n        ".join(widen.format(f"whole[{i}]", each) for i, each in enumerate(sums)),
        back=" ".join(f"{each} = whole[{i}];" for i, each in enumerate(sums)),
    )
    stores = "\n    ".join(store.format(i // 2, 8 * (i % 2), each) for i, each in enumerate(sums))
    text = C.replace("$name_", f"{name}_")
    return body.helper(
        short, text, add=form.add, told=form.told, more=form.more, sum_type=body.held(WORD), loops=loops, stores=stores
    )
