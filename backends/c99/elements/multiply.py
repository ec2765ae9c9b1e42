"""Product of two tensors."""

from __future__ import annotations

from ...fixed.op import Call
from ..body import Body, Places
from ..element import Element
from ..integers import plus
from ..registers import Register


def _write(call: Call, given: tuple[str, ...], body: Body, places: Places) -> list[str]:
    a, b = given
    return [f"v = ({a}{plus(-call.zero_a)}) * ({b}{plus(-call.zero_b)});"]


def _lanes(call: Call, given: tuple[str, ...], body: Body, places: Places, register: Register) -> list[str]:
    zeros = (call.zero_a, call.zero_b)
    a, b = (register.call("sub_epi32", x, register.every(z)) for x, z in zip(given, zeros, strict=True))
    return [f"v = {register.call('mullo_epi32', a, b)};"]


ELEMENT = Element(_write, lanes=_lanes)
