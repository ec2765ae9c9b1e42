"""Writes a program as the bytes of a `.lowbit` file; the same program gives the same bytes on every machine."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np

from ...compiler.errors import Broken, Unsupported
from ..codec import Words, smallest
from ..fixed.op import Attribute, Legal
from ..fixed.program import Port, Program, Step, Value
from ..fixed.registry import op_named
from ..wire import varint
from . import layout
from .numbers import Written


def dumps(program: Program, coder: str | None = None) -> bytes:
    """The file that holds `program`: everything but the origins of its steps.

    coder: the codec with the highest number that may be used, see `codec.smallest`; any if None.
    Raises Unsupported for a number or a shape that the file has no room for.
    """
    _check(program)
    numbers, streams = Written(), list[bytes]()
    numbers.varint(len(program.values), "the number of values")
    _entries(program, coder, numbers, streams)
    for port in program.inputs:
        _grid(port, numbers)
    numbers.varint(len(program.outputs), "the number of outputs")
    for port in program.outputs:
        numbers.varint(port.value, "the value of a port")
        _grid(port, numbers)
    structure = numbers.finish()
    head = layout.MAGIC + bytes([layout.VERSION, 0]) + varint(len(structure))
    body = b"".join([head, structure, *streams, _digest(program)])
    return body + zlib.crc32(body).to_bytes(4, "little")


def _check(program: Program) -> None:
    outputs = [step.output for step in program.steps]
    if outputs != sorted(set(outputs)) or any(i >= s.output for s in program.steps for i in s.inputs):
        raise Broken("a step's output does not stand after its inputs and the steps before it")
    inputs = [i for i, value in enumerate(program.values) if value.data is None and i not in outputs]
    if [port.value for port in program.inputs] != inputs:
        raise Broken("the input ports are not the inputs of the program in order")


def _entries(program: Program, coder: str | None, numbers: Written, streams: list[bytes]) -> None:
    steps, before = {step.output: step for step in program.steps}, layout.INPUT
    for index, value in enumerate(program.values):
        kind = _kind(value, steps.get(index))
        numbers.varint(kind, "the kind of a value", before)
        before = kind
        if index in steps:
            _step(steps[index], numbers)
        elif value.data is None:
            _input(value, numbers)
        else:
            streams.append(_constant(value, coder, numbers))


def _kind(value: Value, step: Step | None) -> int:
    if step is not None:
        return layout.STEP + op_named(step.op).code
    return layout.INPUT if value.data is None else layout.CONSTANT + len(value.shape)


def _step(step: Step, numbers: Written) -> None:
    op = op_named(step.op)
    for name, value in zip(op.inputs, step.inputs, strict=True):
        numbers.varint(step.output - 1 - value, f"{step.op}.{name}")
    for name in sorted(op.attributes):
        _attribute(f"{step.op}.{name}", op.attributes[name], step.attributes[name], numbers)


def _attribute(what: str, legal: Legal, value: Attribute, numbers: Written) -> None:
    if isinstance(value, int):
        numbers.signed(_number(value), what)
        return
    if not legal.length:
        numbers.varint(len(value), f"the length of {what}")
    for before, number in zip((None, *value), value, strict=False):
        numbers.signed(_number(number), what, before)


def _input(value: Value, numbers: Written) -> None:
    numbers.varint(len(value.shape), "the rank of an input")
    _shape(value.shape, numbers)
    numbers.signed(_number(value.range.lo), "the least input")
    numbers.signed(_number(value.range.hi), "the greatest input")


def _constant(value: Value, coder: str | None, numbers: Written) -> bytes:
    codec, stream = smallest(_integers(value), coder)
    _shape(value.shape, numbers)
    numbers.varint(codec.code, "a codec", len(value.shape))
    numbers.varint(len(stream), "the length of a stream", codec.code)
    return stream


def _integers(value: Value) -> Words:
    return np.array(value.data, dtype=np.int64, order="C", copy=None)  # ascontiguousarray would give a scalar an axis


def _shape(shape: Sequence[int], numbers: Written) -> None:
    if len(shape) >= layout.RANKS or any(size > layout.DIMENSION for size in shape):
        raise Unsupported(f"the file has no room for the shape {tuple(shape)}")
    for axis, size in enumerate(shape):
        numbers.varint(size, "a dimension", len(shape), axis)


def _number(value: int) -> int:
    if not -(2**63) <= value < 2**63:
        raise Unsupported(f"{value} does not fit the 64 bits that a file gives to a number")
    return value


def _grid(port: Port, numbers: Written) -> None:
    layout.check_port(port)
    numbers.varint(port.multiplier - layout.MULTIPLIER, "a multiplier")
    numbers.signed(port.shift, "a shift")
    numbers.signed(port.zero, "a zero point")


def _digest(program: Program) -> bytes:
    digest = 0
    for index in program.constants():
        digest = layout.digest(_integers(program.values[index]), digest)
    return digest.to_bytes(4, "little")
