"""Look-up, in what of the table can be asked for."""

from __future__ import annotations

from ...fixed.op import Call
from ..body import Body, Places
from ..element import FLOW, Element
from ..integers import plus
from ..rounding import clamped


def _write(call: Call, given: tuple[str, ...], body: Body, places: Places) -> list[str]:
    rows, entries = call.table.shape
    last = call.first + entries - 1
    seen = call.x.range.clamp(call.first, last)
    data = call.table.data[:, seen.lo - call.first : seen.hi - call.first + 1]
    row = f"{places.along(call.axis)} * {data.shape[1]} + " if rows > 1 else ""
    start = [] if given[0] == FLOW else [f"v = {given[0]};"]
    name = body.table("table", data)
    return [*start, *clamped("v", call.x.range, call.first, last), f"v = {name}[{row}(v{plus(-seen.lo)})];"]


ELEMENT = Element(_write, vectors=("table",))
