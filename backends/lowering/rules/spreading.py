"""Nearest upsampling, expand, repeat, roll, flip, mirrored and repeated borders: values taken along each axis."""

from __future__ import annotations

from ....compiler.operators import calls
from ..lower import Lowering
from ..moving import picked

_NAMES = ("upsample_nearest{}d", "_upsample_nearest_exact{}d", "reflection_pad{}d", "replication_pad{}d")

LOWERING = Lowering(
    calls("expand", "expand_as", "repeat", "repeat_interleave", "roll", "flip")
    | calls(*(name.format(axes) for name in _NAMES for axes in (1, 2, 3))),
    picked,
)
