"""The rules of a legal step: attributes in their intervals, constraints held, shape and range derived."""

from __future__ import annotations

from collections.abc import Mapping

from ...compiler.errors import LowbitError
from .op import Attribute, Call, Op, Operand
from .registry import op_named
from .types import Range


class IllegalStep(LowbitError):
    """A step breaks an attribute interval or a numbered constraint of its op."""


def check(
    name: str, operands: tuple[Operand, ...], attributes: Mapping[str, Attribute], origin: str = ""
) -> tuple[tuple[int, ...], Range]:
    """The shape (without batch) and proven range of a step's output.

    Raises IllegalStep, naming the rule broken (`A:<attribute>`, `I:<input>` or the constraint's number).
    """
    op = op_named(name)
    if len(operands) != len(op.inputs):
        raise IllegalStep(f"I {name}: takes {len(op.inputs)} inputs, not {len(operands)}", where=origin)
    call = Call(dict(zip(op.inputs, operands, strict=True)), dict(attributes))
    _check_attributes(name, op, call, origin)
    _check_constants(name, op, call, origin)
    for constraint in op.constraints:
        if not constraint.holds(call):
            raise IllegalStep(f"{constraint.name} {name}: {constraint.sentence}", where=origin, why=_describe(call))
    return op.shape(call), op.range(call)


def _check_attributes(name: str, op: Op, call: Call, origin: str) -> None:
    for attribute in op.attributes.keys() | call.attributes.keys():
        if attribute not in op.attributes:
            raise IllegalStep(f"A:{attribute} {name}: no such attribute", where=origin)
        if attribute not in call.attributes:
            raise IllegalStep(f"A:{attribute} {name}: missing", where=origin)
        if not op.attributes[attribute].accepts(call.attributes[attribute]):
            legal, given = op.attributes[attribute], call.attributes[attribute]
            raise IllegalStep(f"A:{attribute} {name}: {given} is not in [{legal.lo}, {legal.hi}]", where=origin)


def _check_constants(name: str, op: Op, call: Call, origin: str) -> None:
    for given in op.inputs:
        constant = call.operands[given].data is not None
        if constant != (given in op.constants):
            must = "must be a constant" if given in op.constants else "must not be a constant"
            raise IllegalStep(f"I:{given} {name}: {must}", where=origin)


def _describe(call: Call) -> str:
    shown = [f"{name} {operand.shape} in {operand.range}" for name, operand in call.operands.items()]
    return ", ".join([*shown, *(f"{name}={value}" for name, value in call.attributes.items())])
