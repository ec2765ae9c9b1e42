"""Writes a program as the bytes of a `.lowbit` file; the same program gives the same bytes on every machine."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence

import numpy as np

from ...compiler.errors import Broken, Unsupported
from ..codec import Words, smallest
from ..fixed.op import Attribute, Legal
from ..fixed.program import Port, Program, Step, Value
from ..fixed.registry import op_named
from ..wire import signed, varint
from . import layout


def dumps(program: Program, coder: str | None = None) -> bytes:
    """The file that holds `program`: everything but the origins of its steps.

    coder: the codec with the highest number that may be used, see `codec.smallest`; any if None.
    Raises Unsupported for a number or a shape that the file has no room for.
    """
    _check(program)
    head = layout.MAGIC + bytes([layout.VERSION, 0])
    ports = [*map(_grid, program.inputs), _outputs(program.outputs)]
    body = b"".join([head, varint(len(program.values)), *_entries(program, coder), *ports, _digest(program)])
    return body + zlib.crc32(body).to_bytes(4, "little")


def _check(program: Program) -> None:
    outputs = [step.output for step in program.steps]
    if outputs != sorted(set(outputs)) or any(i >= s.output for s in program.steps for i in s.inputs):
        raise Broken("a step's output does not stand after its inputs and the steps before it")
    inputs = [i for i, value in enumerate(program.values) if value.data is None and i not in outputs]
    if [port.value for port in program.inputs] != inputs:
        raise Broken("the input ports are not the inputs of the program in order")


def _entries(program: Program, coder: str | None) -> Iterator[bytes]:
    steps = {step.output: step for step in program.steps}
    for index, value in enumerate(program.values):
        if index in steps:
            yield _step(steps[index])
        elif value.data is None:
            yield varint(layout.INPUT) + _input(value)
        else:
            yield _constant(value, coder)


def _step(step: Step) -> bytes:
    op = op_named(step.op)
    references = [varint(step.output - 1 - value) for value in step.inputs]
    attributes = [_attribute(op.attributes[name], step.attributes[name]) for name in sorted(op.attributes)]
    return b"".join([varint(layout.STEP + op.code), *references, *attributes])


def _attribute(legal: Legal, value: Attribute) -> bytes:
    if isinstance(value, int):
        return _number(value)
    return b"".join([b"" if legal.length else varint(len(value)), *map(_number, value)])


def _input(value: Value) -> bytes:
    return varint(len(value.shape)) + _shape(value.shape) + _number(value.range.lo) + _number(value.range.hi)


def _constant(value: Value, coder: str | None) -> bytes:
    codec, stream = smallest(_integers(value), coder)
    head = varint(layout.CONSTANT + len(value.shape)) + _shape(value.shape)
    return head + bytes([codec.code]) + varint(len(stream)) + stream


def _integers(value: Value) -> Words:
    return np.array(value.data, dtype=np.int64, order="C", copy=None)  # ascontiguousarray would give a scalar an axis


def _shape(shape: Sequence[int]) -> bytes:
    if len(shape) >= layout.RANKS or any(size > layout.DIMENSION for size in shape):
        raise Unsupported(f"the file has no room for the shape {tuple(shape)}")
    return b"".join(map(varint, shape))


def _number(value: int) -> bytes:
    if not -(2**63) <= value < 2**63:
        raise Unsupported(f"{value} does not fit the 64 bits that a file gives to a number")
    return signed(value)


def _outputs(ports: Sequence[Port]) -> bytes:
    return varint(len(ports)) + b"".join(varint(port.value) + _grid(port) for port in ports)


def _grid(port: Port) -> bytes:
    layout.check_port(port)
    return (port.multiplier - layout.MULTIPLIER).to_bytes(3, "little") + _number(port.shift) + _number(port.zero)


def _digest(program: Program) -> bytes:
    digest = 0
    for index in program.constants():
        digest = layout.digest(_integers(program.values[index]), digest)
    return digest.to_bytes(4, "little")
