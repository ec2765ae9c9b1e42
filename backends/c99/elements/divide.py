"""Quotient of two tensors, brought to a grid."""

from __future__ import annotations

from ...fixed.broadcast import centred
from ...fixed.op import Call
from ...fixed.ops.divide import quotient
from ...fixed.types import Range
from ..body import Body, Places
from ..element import Element
from ..integers import literal, plus
from ..rounding import clamped

FLOOR = """\
/* a / b rounded down, for b > 0; C99 rounds towards 0 */
static int64_t $name(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}
"""


def _write(call: Call, given: tuple[str, ...], body: Body, places: Places) -> list[str]:
    a, b = given
    floor = body.helper("floor_divide", FLOOR)
    least = f"int64_t d = (int64_t){b}{plus(-call.zero_b)};"
    return [
        "{",
        f"    {least}",
        "    int64_t t;",
        "    d = d < 1 ? 1 : d;",
        f"    t = {floor}(((int64_t){a}{plus(-call.zero_a)}) * {literal(call.multiplier)} + (d << {call.shift - 1}),",
        f"        d << {call.shift}){plus(call.zero)};",
        *(f"    {line}" for line in clamped("t", _before(call), call.lo, call.hi)),
        "    v = (int32_t)t;",
        "}",
    ]


def _before(call: Call) -> Range:
    """What the quotient may be before it saturates."""
    a, d = centred(call)
    ends = [quotient(p, max(1, q), call.multiplier, call.shift) for p in (a.lo, a.hi) for q in (d.lo, d.hi)]
    return Range(min(ends) + call.zero, max(ends) + call.zero)


ELEMENT = Element(_write)
