"""Exponentials of a softmax: their width, and how far below the largest value they are zero."""

from __future__ import annotations

import math

from ...compiler.operators import calls

SOFTMAX = calls("softmax", "_softmax")
BITS = 24
"""The most bits of an exponential."""


def reach(step: float, peak: int = 2**BITS) -> int:
    """The steps below the largest value at which its exponential, of that peak, rounds to zero."""
    return math.ceil(math.log(2 * peak) / step) + 1
