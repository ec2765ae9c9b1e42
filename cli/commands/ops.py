"""ops: the operations of the integer program, and the specification of one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ..catalog import OPS, listed, told
from ..render import Screen

if TYPE_CHECKING:
    from ...backends.fixed.op import Legal, Op


@click.command()
@click.argument("name", required=False)
@click.pass_obj
def ops(screen: Screen, name: str | None) -> None:
    """List the operations of the integer program; with NAME, give the equation and the constraints of one.

    \b
    Examples:
      lowbit ops
      lowbit ops conv2d
    """
    if name is None:
        screen.table(("op", "what it computes"), listed(OPS))
        return
    screen.text(told(OPS, name, "op") + "\n")
    from ...backends.fixed.registry import op_named

    _tell(screen, op_named(name))


def _tell(screen: Screen, op: Op) -> None:
    inputs = [f"{given} (constant)" if given in op.constants else given for given in op.inputs]
    made_of = "core: every target has a kernel for it" if op.expand is None else "expanded into smaller ops"
    screen.table(("", ""), [("inputs", ", ".join(inputs)), ("kind", made_of), ("number in a file", str(op.code))])
    if op.attributes:
        rows = [(name, _count(legal), f"{legal.lo}..{legal.hi}") for name, legal in op.attributes.items()]
        screen.text("")
        screen.table(("attribute", "integers", "each in"), rows)
    if op.constraints:
        screen.text("")
        screen.table(("constraint", "sentence"), [(rule.name, rule.sentence) for rule in op.constraints])


def _count(legal: Legal) -> str:
    return {None: "1", 0: "any number"}.get(legal.length, str(legal.length))
