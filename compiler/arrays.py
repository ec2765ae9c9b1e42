"""The array types that both sides of the compiler speak of."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[Any]
"""An array of integers: a numpy integer dtype, or dtype object holding Python integers."""
Floats = NDArray[np.floating[Any]]
"""An array of floating-point numbers."""
