"""Two operands that are computed with element by element: their shapes, and what each is less its zero point."""

from __future__ import annotations

from .op import Call
from .types import Range


def alike(call: Call) -> bool:
    """Whether a and b have as many axes, and along each the same size, or one of them size 1."""
    a, b = call.a.shape, call.b.shape
    return len(a) == len(b) and all(m == n or 1 in (m, n) for m, n in zip(a, b, strict=True))


def spread(call: Call) -> tuple[int, ...]:
    """The shape of the result."""
    return tuple(n if m == 1 else m for m, n in zip(call.a.shape, call.b.shape, strict=True))


def centred(call: Call) -> tuple[Range, Range]:
    """The ranges of a - zero_a and b - zero_b."""
    a, b = call.a.range, call.b.range
    return Range(a.lo - call.zero_a, a.hi - call.zero_a), Range(b.lo - call.zero_b, b.hi - call.zero_b)


def product(a: Range, b: Range) -> Range:
    """The range of a b."""
    corners = [p * q for p in (a.lo, a.hi) for q in (b.lo, b.hi)]
    return Range(min(corners), max(corners))
