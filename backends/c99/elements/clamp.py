"""Saturation."""

from __future__ import annotations

from ...fixed.op import Call
from .. import lanes
from ..body import Body, Places
from ..element import FLOW, Element
from ..registers import Register
from ..rounding import clamped


def _write(call: Call, given: tuple[str, ...], body: Body, places: Places) -> list[str]:
    start = [] if given[0] == FLOW else [f"v = {given[0]};"]
    return [*start, *clamped("v", call.x.range, call.lo, call.hi)]


def _lanes(call: Call, given: tuple[str, ...], body: Body, places: Places, register: Register) -> list[str]:
    start = [] if given[0] == FLOW else [f"v = {given[0]};"]
    return [*start, *lanes.clamped(register, call.x.range, call.lo, call.hi)]


ELEMENT = Element(_write, lanes=_lanes)
