"""Requantization with 256ths of a unit added before."""

from __future__ import annotations

from ...fixed.op import Call
from ...fixed.ops.requantize import added
from .. import rounding_lanes
from ..body import Body, Places
from ..element import Element
from ..registers import Register
from ..rounding import Rounding, rounded


def _rounding(call: Call) -> Rounding:
    multiplier, shift = call.multiplier.data.astype(object), call.shift.data.astype(object)
    return Rounding.of([call.x.range], [multiplier], added(call) + (1 << (shift - 1)), shift, call)


def _write(call: Call, given: tuple[str, ...], body: Body, places: Places) -> list[str]:
    rounding = _rounding(call)
    return rounded(rounding, given, body, places.along(call.axis) if len(rounding.shifts) > 1 else "0")


def _lanes(call: Call, given: tuple[str, ...], body: Body, places: Places, register: Register) -> list[str] | None:
    rounding = _rounding(call)
    index = places.along(call.axis) if len(rounding.shifts) > 1 else "0"
    return rounding_lanes.rounded(rounding, given, body, index, register)


ELEMENT = Element(_write, vectors=("multiplier", "shift", "fraction"), lanes=_lanes)
