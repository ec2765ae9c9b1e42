"""Product of two tensors."""

from __future__ import annotations

from ...fixed.op import Call
from ..body import Body, Places
from ..element import Element
from ..integers import plus


def _write(call: Call, given: tuple[str, ...], body: Body, places: Places) -> list[str]:
    a, b = given
    return [f"v = ({a}{plus(-call.zero_a)}) * ({b}{plus(-call.zero_b)});"]


ELEMENT = Element(_write)
