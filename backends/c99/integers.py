"""The integer types of C, the smallest that holds a proven range, and numbers as C writes them."""

from __future__ import annotations

from dataclasses import dataclass

from ..fixed.types import INT32, Range


@dataclass(frozen=True)
class Integer:
    """A type of <stdint.h>. size: in bytes."""

    name: str
    size: int
    range: Range

    @property
    def dtype(self) -> str:
        """What numpy calls it."""
        return self.name.removesuffix("_t")


INT8, UINT8 = Integer("int8_t", 1, Range(-(2**7), 2**7 - 1)), Integer("uint8_t", 1, Range(0, 2**8 - 1))
INT16, UINT16 = Integer("int16_t", 2, Range(-(2**15), 2**15 - 1)), Integer("uint16_t", 2, Range(0, 2**16 - 1))
WORD, LONG = Integer("int32_t", 4, INT32), Integer("int64_t", 8, Range(-(2**63), 2**63 - 1))


def smallest(range: Range) -> Integer:
    """The smallest type that holds the range, which fits 64 bits; a signed one of two equally small."""
    return next(type for type in (INT8, UINT8, INT16, UINT16, WORD, LONG) if range in type.range)


def literal(value: int) -> str:
    """The number as a constant expression of at least 32 bits, in parentheses where it is negative."""
    if value in INT32:
        # C has no negative literals: 2147483648 would be wider than what it is negated to.
        return str(value) if value >= 0 else f"({value})" if value > INT32.lo else "(-2147483647 - 1)"
    return f"INT64_C({value})" if value > LONG.range.lo else "(-INT64_C(9223372036854775807) - 1)"


def plus(value: int) -> str:
    """` + 5`, ` - 5`, or nothing for 0."""
    if value == 0:
        return ""
    return f" - {literal(-value)}" if value < 0 and -value in INT32 else f" + {literal(value)}"
