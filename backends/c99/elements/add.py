"""Sum of two tensors on different grids, brought to a third."""

from __future__ import annotations

from ...fixed.op import Call
from .. import rounding_lanes
from ..body import Body, Places
from ..element import Element
from ..registers import Register
from ..rounding import Rounding, rounded


def _rounding(call: Call) -> Rounding:
    factors = (call.multiplier_a, call.multiplier_b)
    half = 1 << (call.shift - 1)
    return Rounding.of((call.a.range, call.b.range), factors, call.offset + half, call.shift, call)


def _write(call: Call, given: tuple[str, ...], body: Body, places: Places) -> list[str]:
    return rounded(_rounding(call), given, body, "0")


def _lanes(call: Call, given: tuple[str, ...], body: Body, places: Places, register: Register) -> list[str] | None:
    return rounding_lanes.rounded(_rounding(call), given, body, "0", register)


ELEMENT = Element(_write, lanes=_lanes)
