"""The inner loop of `gemm_bytes`: some pixels by 16 outputs, four bytes a step, in AVX2."""

from __future__ import annotations

from .body import Body
from .integers import WORD

PANEL = 16
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
    return _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_maddubs_epi16(x, w), _mm256_set1_epi16(1)));
}

/* `bias`, and `count` runs of `length` bytes behind each pixel, times a panel of weights; then `more` single steps of
   `rest`. */
static void $name(const uint8_t *const *x, const int32_t *runs, int32_t count, int32_t length, const int32_t *bias,
                  const int8_t *w, const int32_t *places, const int8_t *rest, int32_t more, $sum_type *sums,
                  int32_t stride)
{
    const __m256i b0 = _mm256_loadu_si256((const __m256i *)(const void *)bias);
    const __m256i b1 = _mm256_loadu_si256((const __m256i *)(const void *)(bias + 8));
    __m256i v, w0, w1;
    $begin
    for (int32_t r = 0; r < count; r++) {
        $pointers
        for (int32_t k = 0; k < length; k += 4, w += 64) {
            w0 = _mm256_loadu_si256((const __m256i *)(const void *)w);
            w1 = _mm256_loadu_si256((const __m256i *)(const void *)(w + 32));
            $steps
        }
    }
    for (int32_t e = 0; e < more; e++, rest += 64) {
        w0 = _mm256_loadu_si256((const __m256i *)(const void *)rest);
        w1 = _mm256_loadu_si256((const __m256i *)(const void *)(rest + 32));
        $singles
    }
    $stores
}
"""


def tile(body: Body, rows: int) -> str:
    """The name of the function for that many pixels; it is made known to the body."""
    pin = body.helper("PIN", PIN)
    name = f"{body.prefix}_bytes_{rows}x{PANEL}"

    def step(i: int, place: str) -> str:
        add = [f"{a}{i} = {name}_sum({a}{i}, v, w{half}); {pin}({a}{i});" for half, a in enumerate("cd")]
        return f"v = {name}_four({place}); {' '.join(add)}"

    each = range(rows)
    store = "_mm256_storeu_si256((__m256i *)(void *)(sums + {at}), {sum});"
    return body.helper(
        f"bytes_{rows}x{PANEL}",
        C.replace("$name_", f"{name}_"),
        sum_type=body.held(WORD),
        begin="__m256i " + ", ".join(f"{a}{i} = b{half}" for i in each for half, a in enumerate("cd")) + ";",
        pointers=" ".join(f"const uint8_t *const p{i} = x[{i}] + runs[r];" for i in each),
        steps="\n            ".join(step(i, f"p{i} + k") for i in each),
        singles="\n        ".join(step(i, f"x[{i}] + places[e]") for i in each),
        stores="\n    ".join(
            store.format(at=f"{i} * stride + {8 * half}", sum=f"{a}{i}") for i in each for half, a in enumerate("cd")
        ),
    )
