"""Registers of AVX2 and AVX-512 as lanes of 32 bits: the names of their instructions, and which of them a row fills."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .body import Body
from .integers import LONG, Integer, literal
from .variants import VNNI_512

READ = """\
static $register $name(const void *from)
{
    return $widened;
}
"""
WRITE = """\
static void $name(void *to, $register v)
{
    $narrowed
}
"""
DPBUSD = """\
#if defined(__AVXVNNI__)
#define $name(sum, x, w) _mm256_dpbusd_avx_epi32(sum, x, w)
#else
#define $name(sum, x, w) _mm256_dpbusd_epi32(sum, x, w)
#endif
"""


@dataclass(frozen=True, eq=False)
class Register:
    """Elements side by side. widened: from the address `from`, by type.   narrowed: `v` to the address `to`, where it
    saturates.   loaded, stored: a whole register.   odd: the even lanes of the first and the odd ones of the second.
    gathered: from a table, by index.   pin: the letter by which compilers know such registers.
    """

    bits: int
    loaded: str
    stored: str
    widened: Mapping[str, str]
    narrowed: Mapping[str, str]
    odd: str
    gathered: str
    pin: str

    @property
    def lanes(self) -> int:
        return self.bits // 32

    @property
    def type(self) -> str:
        return f"__m{self.bits}i"

    def call(self, name: str, *given: str) -> str:
        """An intrinsic that both kinds have."""
        return f"_mm{self.bits}_{name}({', '.join(given)})"

    def every(self, value: int | str, type: Integer | None = None) -> str:
        """The same in every lane; LONG: in every two."""
        name = "set1_epi32" if type is not LONG else "set1_epi64x" if self.bits == 256 else "set1_epi64"
        return self.call(name, literal(value) if isinstance(value, int) else value)

    def read(self, body: Body, type: Integer, place: str) -> str:
        """The expression of as many elements from that address on, in 32 bits each."""
        name = f"read{self.lanes}_{type.dtype}"
        return f"{body.helper(name, READ, register=self.type, widened=self.widened[type.dtype])}({place})"

    def write(self, body: Body, type: Integer, place: str, value: str) -> str:
        """The statement that puts them there; what the type cannot hold saturates."""
        name = f"write{self.lanes}_{type.dtype}"
        return f"{body.helper(name, WRITE, register=self.type, narrowed=self.narrowed[type.dtype])}({place}, {value});"


YMM = Register(
    bits=256,
    loaded="_mm256_loadu_si256((const __m256i *)(const void *)({}))",
    stored="_mm256_storeu_si256((__m256i *)(void *)({}), {});",
    widened={
        "int8": "_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)from))",
        "uint8": "_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)from))",
        "int16": "_mm256_cvtepi16_epi32(_mm_loadu_si128((const __m128i *)from))",
        "uint16": "_mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)from))",
        "int32": "_mm256_loadu_si256((const __m256i *)from)",
    },
    narrowed={
        "int8": """\
v = _mm256_packs_epi16(_mm256_packs_epi32(v, v), v);
    _mm_storel_epi64((__m128i *)to, _mm_unpacklo_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1)));""",
        "uint8": """\
v = _mm256_packus_epi16(_mm256_packs_epi32(v, v), v);
    _mm_storel_epi64((__m128i *)to, _mm_unpacklo_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1)));""",
        "int16": """\
v = _mm256_permute4x64_epi64(_mm256_packs_epi32(v, v), 8);
    _mm_storeu_si128((__m128i *)to, _mm256_castsi256_si128(v));""",
        "uint16": """\
v = _mm256_permute4x64_epi64(_mm256_packus_epi32(v, v), 8);
    _mm_storeu_si128((__m128i *)to, _mm256_castsi256_si128(v));""",
        "int32": "_mm256_storeu_si256((__m256i *)to, v);",
    },
    odd="_mm256_blend_epi32({}, {}, 0xaa)",
    gathered="_mm256_i32gather_epi32((const int *){0}, {1}, 4)",
    pin="x",
)
ZMM = Register(
    bits=512,
    loaded="_mm512_loadu_si512({})",
    stored="_mm512_storeu_si512({}, {});",
    widened={
        "int8": "_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)from))",
        "uint8": "_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)from))",
        "int16": "_mm512_cvtepi16_epi32(_mm256_loadu_si256((const __m256i *)from))",
        "uint16": "_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)from))",
        "int32": "_mm512_loadu_si512(from)",
    },
    narrowed={
        "int8": "_mm_storeu_si128((__m128i *)to, _mm512_cvtsepi32_epi8(v));",
        "uint8": """\
v = _mm512_max_epi32(v, _mm512_setzero_si512());
    _mm_storeu_si128((__m128i *)to, _mm512_cvtusepi32_epi8(v));""",
        "int16": "_mm256_storeu_si256((__m256i *)to, _mm512_cvtsepi32_epi16(v));",
        "uint16": """\
v = _mm512_max_epi32(v, _mm512_setzero_si512());
    _mm256_storeu_si256((__m256i *)to, _mm512_cvtusepi32_epi16(v));""",
        "int32": "_mm512_storeu_si512(to, v);",
    },
    odd="_mm512_mask_blend_epi32(0xaaaa, {}, {})",
    gathered="_mm512_i32gather_epi32({1}, (const int *){0}, 4)",
    pin="v",
)


def widest(body: Body, row: int) -> Register:
    """The widest register of the body's variant that rows of that many elements fill, without a rest."""
    return ZMM if body.when == VNNI_512 and row % ZMM.lanes == 0 else YMM


def four_products(body: Body) -> str:
    """What adds products of four bytes to each lane of a YMM, of what is positive and what may be negative."""
    return body.helper("dpbusd", DPBUSD)
