"""Look-up, in what of the table can be asked for."""

from __future__ import annotations

from ....compiler.arrays import Integers
from ...fixed.op import Call
from ...fixed.types import Range
from .. import lanes
from ..body import Body, Places
from ..element import FLOW, Element
from ..integers import WORD, plus
from ..registers import Register
from ..rounding import clamped


def _write(call: Call, given: tuple[str, ...], body: Body, places: Places) -> list[str]:
    data, seen = _asked(call)
    row = f"{places.along(call.axis)} * {data.shape[1]} + " if len(data) > 1 else ""
    start = [] if given[0] == FLOW else [f"v = {given[0]};"]
    name = body.table("table", data)
    return [*start, *clamped("v", call.x.range, seen.lo, seen.hi), f"v = {name}[{row}(v{plus(-seen.lo)})];"]


def _lanes(call: Call, given: tuple[str, ...], body: Body, places: Places, register: Register) -> list[str] | None:
    data, seen = _asked(call)
    if len(data) > 1:
        return None
    name = body.table("table", data, WORD)
    place = register.call("sub_epi32", "v", register.every(seen.lo))
    start = [] if given[0] == FLOW else [f"v = {given[0]};"]
    saturated = lanes.clamped(register, call.x.range, seen.lo, seen.hi)
    return [*start, *saturated, f"v = {register.gathered.format(name, place)};"]


def _asked(call: Call) -> tuple[Integers, Range]:
    """What of the table x can ask for, and the part of x's range that does."""
    last = call.first + call.table.shape[1] - 1
    seen = call.x.range.clamp(call.first, last)
    return call.table.data[:, seen.lo - call.first : seen.hi - call.first + 1], seen


ELEMENT = Element(_write, vectors=("table",), lanes=_lanes)
