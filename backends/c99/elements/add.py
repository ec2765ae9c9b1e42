"""Sum of two tensors on different grids, brought to a third."""

from __future__ import annotations

from ...fixed.op import Call
from ..body import Body, Places
from ..element import Element
from ..rounding import Rounding, rounded


def _write(call: Call, given: tuple[str, ...], body: Body, places: Places) -> list[str]:
    factors = (call.multiplier_a, call.multiplier_b)
    half = 1 << (call.shift - 1)
    rounding = Rounding.of((call.a.range, call.b.range), factors, call.offset + half, call.shift, call)
    return rounded(rounding, given, body, "0")


ELEMENT = Element(_write)
