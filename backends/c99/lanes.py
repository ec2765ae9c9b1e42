"""Eight elements side by side in one register of AVX2: how they are read, written, and finished by a chain."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ...compiler.arrays import Integers
from ..fixed.types import Range
from .body import Body, Places, indented
from .element import FLOW, Link, elements
from .integers import LONG, WORD, Integer, literal
from .kernel import Task
from .loops import Rows, finished
from .tensors import Tensor

LANES = 8
READ = """\
static __m256i $name(const void *from)
{
    return $widened;
}
"""
WIDENED = {
    "int8": "_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)from))",
    "uint8": "_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)from))",
    "int16": "_mm256_cvtepi16_epi32(_mm_loadu_si128((const __m128i *)from))",
    "uint16": "_mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)from))",
    "int32": "_mm256_loadu_si256((const __m256i *)from)",
}
WRITE = """\
static void $name(void *to, __m256i v)
{
    $narrowed
}
"""
NARROWED = {
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
}


def read(body: Body, type: Integer, place: str) -> str:
    """The expression of the eight elements from that address on, in 32 bits each."""
    name = body.helper(f"read_{type.dtype}", READ, widened=WIDENED[type.dtype])
    return f"{name}({place})"


def written(body: Body, type: Integer, place: str, lines: Sequence[str]) -> list[str]:
    """The statements, and the one that writes `v` from that address on, which saturates at the ends of the type: where
    the last of them do just that, they are left out."""
    name = body.helper(f"write_{type.dtype}", WRITE, narrowed=NARROWED[type.dtype])
    kept = list(lines)
    for statement in reversed(clamped(LONG.range, type.range.lo, type.range.hi)):
        if kept[-1:] == [statement] and type is not WORD:
            kept.pop()
    return [*kept, f"{name}({place}, {FLOW});"]


def constant(body: Body, name: str, data: Sequence[int] | Integers, index: str) -> str:
    """The expression of eight entries of 32 bits from `index` on, or of eight times the one that all are."""
    listed = [int(each) for each in data]
    if len(set(listed)) == 1:
        return f"_mm256_set1_epi32({literal(listed[0])})"
    return read(body, WORD, f"{body.table(name, np.array(listed), WORD)} + {index}")


def constants(body: Body, name: str, data: Sequence[int] | Integers, index: str) -> tuple[str, str]:
    """The expressions of those of 64 bits: of the even entries among the eight, and of the odd."""
    listed = [int(each) for each in data]
    if len(set(listed)) == 1:
        return (f"_mm256_set1_epi64x({literal(listed[0])})",) * 2
    whole = np.pad(np.array(listed, np.int64), (0, -len(listed) % LANES)).reshape(-1, LANES // 2, 2)
    table = body.table(name, np.swapaxes(whole, 1, 2).reshape(-1), LONG)
    return read(body, WORD, f"{table} + {index}"), read(body, WORD, f"{table} + {index} + 4")


def clamped(before: Range, lo: int, hi: int) -> list[str]:
    """The statements that saturate `v`, which lies in `before`; none where nothing can be outside."""
    low = [f"{FLOW} = _mm256_max_epi32({FLOW}, _mm256_set1_epi32({literal(lo)}));"] if before.lo < lo else []
    return low + ([f"{FLOW} = _mm256_min_epi32({FLOW}, _mm256_set1_epi32({literal(hi)}));"] if before.hi > hi else [])


def in_lanes(task: Task, body: Body, total: str, depth: int, begin: str = "0", end: str = "") -> str:
    """`finished`, eight elements at a time as far as they go; `total` is an int32_t in memory.

    begin: a multiple of eight; so is `end`, but for that of the row.
    """
    end, places = end or str(task.output.last), Rows(task.output)

    def made(body: Body) -> list[str] | None:
        return chained(task.chain, body, places, task.named, lambda tensor: tensor.elements > 1)

    if made(Body(body.prefix)) is None:
        return finished(task, body, total, depth, begin, end)
    lines = [f"__m256i v = {read(body, WORD, f'&{total}')};", *(made(body) or [])]
    lines = written(body, task.output.type, f"y + {places.of(task.output)}", lines)
    loop = f"int32_t o = {begin};\n" + indented(eight("o", end, lines), depth)
    if task.output.last % LANES == 0:
        return loop
    return "\n".join([loop, "    " * depth + finished(task, body, total, depth, "o", end)])


def eight(index: str, end: str, lines: Sequence[str]) -> list[str]:
    """The loop over all eights of elements."""
    return [f"for (; {index} + {LANES} <= {end}; {index} += {LANES}) {{", *(f"    {line}" for line in lines), "}"]


def chained(
    links: Sequence[Link],
    body: Body,
    places: Places,
    named: Callable[[Tensor], str],
    goes_on: Callable[[Tensor], bool],
) -> list[str] | None:
    """The statements of a chain, or None where a link is not proven to fit. goes_on: whether a tensor has eight
    elements there, side by side, or one."""

    def given(tensor: Tensor | None) -> str:
        if tensor is None:
            return FLOW
        if goes_on(tensor):
            return read(body, tensor.type, f"{named(tensor)} + {places.of(tensor)}")
        return f"_mm256_set1_epi32({named(tensor)}[{places.of(tensor)}])"

    lines: list[str] = []
    for link in links:
        write = elements()[link.op].lanes
        more = write(link.call, tuple(map(given, link.operands)), body, places) if write else None
        if more is None:
            return None
        lines += more
    return lines
