"""Canonical text of a fixed-point program, and the same as plain data: equal text means equal program."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import zip_longest
from typing import Any

import numpy as np

from .op import Attribute
from .program import Port, Program, Step, Value


def text(program: Program, origins: bool = False) -> str:
    """One line a value in definition order, then one line for each end; constants by shape and digest.

    With origins=True each step ends in the module path and source line it came from.
    """
    steps = {step.output: step for step in program.steps}
    lines = []
    for index, value in enumerate(program.values):
        line = f"%{index}: {_type(value)} = {_made_by(value, steps.get(index))}"
        origin = steps[index].origin if origins and index in steps else ""
        lines.append(f"{line}  # {origin}" if origin else line)
    lines += [f"take {_ports(program.inputs)}", f"return {_ports(program.outputs)}"]
    return "\n".join(lines)


def difference(old: Program, new: Program) -> str:
    """The first line in which the texts of two programs differ, as `old, not new`; nothing where they are equal."""
    pairs = zip_longest(text(old).split("\n"), text(new).split("\n"), fillvalue="nothing")
    return next((f"{ours}, not {theirs}" for ours, theirs in pairs if ours != theirs), "")


def described(program: Program) -> dict[str, Any]:
    """The same facts as `text`, and the origins, in dicts, lists, strings and integers, for JSON."""
    return {
        "values": [_described_value(value) for value in program.values],
        "steps": [_described_step(step) for step in program.steps],
        "inputs": [vars(port).copy() for port in program.inputs],
        "outputs": [vars(port).copy() for port in program.outputs],
    }


def digest(data: np.ndarray[Any, Any]) -> str:
    """32 hex digits that tell one tensor of integers from another of the same shape."""
    return hashlib.sha256(np.ascontiguousarray(data, "<i8").tobytes()).hexdigest()[:32]


def _made_by(value: Value, step: Step | None) -> str:
    if value.data is not None:
        return f"constant {digest(value.data)}"
    if step is None:
        return "input"
    given = [f"%{index}" for index in step.inputs]
    named = [f"{name}={_attribute(step.attributes[name])}" for name in sorted(step.attributes)]
    return f"{step.op}({', '.join(given + named)})"


def _type(value: Value) -> str:
    sizes = value.shape if value.data is not None else ("N", *value.shape)
    return f"[{','.join(map(str, sizes))}] in {value.range}"


def _attribute(value: Attribute) -> str:
    return str(int(value)) if isinstance(value, int) else f"({','.join(str(int(part)) for part in value)})"


def _ports(ports: Sequence[Port]) -> str:
    return ", ".join(f"%{p.value} = {p.multiplier}*2^{-p.shift}*(q-{p.zero})" for p in ports)


def _described_value(value: Value) -> dict[str, Any]:
    entry: dict[str, Any] = {"shape": list(value.shape), "range": [value.range.lo, value.range.hi]}
    return entry if value.data is None else {**entry, "constant": digest(value.data)}


def _described_step(step: Step) -> dict[str, Any]:
    attributes = {
        name: int(value) if isinstance(value, int) else [int(part) for part in value]
        for name, value in sorted(step.attributes.items())
    }
    return {
        "op": step.op,
        "inputs": list(step.inputs),
        "output": step.output,
        "attributes": attributes,
        "origin": step.origin,
    }
