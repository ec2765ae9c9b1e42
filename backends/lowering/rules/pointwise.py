"""Functions of each element alone, such as sigmoid, hardswish, GELU or a power: a table of one entry an integer."""

from __future__ import annotations

from ....compiler.operators import POINTWISE
from ..curves import curve
from ..lower import Lowering

LOWERING = Lowering(POINTWISE, curve, along=0)
