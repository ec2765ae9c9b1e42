"""Shapes of two operands that are computed with element by element, one of them spread along axes where it has one."""

from __future__ import annotations

from .op import Call


def alike(call: Call) -> bool:
    """Whether a and b have as many axes, and along each the same size, or one of them size 1."""
    a, b = call.a.shape, call.b.shape
    return len(a) == len(b) and all(m == n or 1 in (m, n) for m, n in zip(a, b, strict=True))


def spread(call: Call) -> tuple[int, ...]:
    """The shape of the result."""
    return tuple(n if m == 1 else m for m, n in zip(call.a.shape, call.b.shape, strict=True))
