"""The fixed-point program's laws: the builder admits no illegal one, and equal text means equal program."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from lowbit.backends.fixed.program import Builder, Port, Program
from lowbit.backends.fixed.sums import dot
from lowbit.backends.fixed.text import described, text
from lowbit.backends.fixed.types import INT32, Range
from lowbit.backends.fixed.verify import IllegalStep
from lowbit.compiler.errors import UserError
from programs import Drawn, laws, programs

PORT = Port(0, 2**23, 30, 1)


def small(weight: int = 3, hi: int = 9, bound: int = 7, port: Port = PORT) -> Program:
    builder = Builder()
    x = builder.input((2,), Range(0, hi))
    y = builder.step("linear", x, builder.constant(np.array([[weight, 1]])), builder.constant(np.array([0])))
    z = builder.step("clamp", y, lo=0, hi=bound, origin="head (model.py:7)")
    return builder.build([port], [replace(port, value=z)])


def test_the_sums_of_weights_are_those_of_what_they_hold_now() -> None:
    weight = np.array([[3, -4, 5], [0, -1, -1]])
    for factor in (1, 2):
        weight *= factor
        assert dot(weight, np.array([7, 7]), Range(0, 1)) == Range(7 - 4 * factor, 7 + 8 * factor)
    weight.setflags(write=False)
    other = -weight
    other.setflags(write=False)
    found = [dot(one, np.array([0, 0]), Range(0, 1)) for one in (weight, weight, other, other)]
    assert found == [Range(-8, 16)] * 2 + [Range(-16, 8)] * 2


def test_text_is_one_line_a_value_and_one_an_end() -> None:
    assert text(small(), origins=True).split("\n") == [
        "%0: [N,2] in [0, 9] = input",
        "%1: [1,2] in [1, 3] = constant 9b768a7138e147b4158a6b26c2e04ee5",
        "%2: [1] in [0, 0] = constant af5570f5a1810b7af78caf4bc70a660f",
        "%3: [N,1] in [0, 36] = linear(%0, %1, %2)",
        "%4: [N,1] in [0, 7] = clamp(%3, hi=7, lo=0)  # head (model.py:7)",
        "take %0 = 8388608*2^-30*(q-1)",
        "return %4 = 8388608*2^-30*(q-1)",
    ]


@pytest.mark.parametrize(
    "other",
    [
        small(weight=2),
        small(hi=8),
        small(bound=6),
        small(port=replace(PORT, multiplier=2**23 + 1)),
        small(port=replace(PORT, shift=29)),
        small(port=replace(PORT, zero=0)),
    ],
)
def test_text_tells_every_change(other: Program) -> None:
    assert text(other) != text(small())
    assert described(other) != described(small())


@laws(40)
@given(programs())
def test_text_and_description_are_the_same_each_time(case: Drawn) -> None:
    lines = text(case.program).split("\n")
    assert len(lines) == len(case.program.values) + 2
    assert text(rebuilt(case.program)) == text(case.program)
    assert json.loads(json.dumps(described(case.program))) == described(rebuilt(case.program))


def rebuilt(program: Program) -> Program:
    """The same program through a new builder, from the records alone."""
    builder, steps = Builder(), {step.output: step for step in program.steps}
    for index, value in enumerate(program.values):
        if value.data is not None:
            builder.constant(value.data)
        elif index in steps:
            step = steps[index]
            builder.step(step.op, *step.inputs, origin=step.origin, **step.attributes)
        else:
            builder.input(value.shape, value.range)
    return builder.build(program.inputs, program.outputs)


@pytest.mark.parametrize(
    ("shape", "range"), [((0,), Range(0, 1)), ((2, -1), Range(0, 1)), ((2,), Range(0, 2**31)), ((), Range(-(2**40), 0))]
)
def test_input_that_no_target_could_hold_is_refused(shape: tuple[int, ...], range: Range) -> None:
    with pytest.raises(IllegalStep, match="an input cannot be"):
        Builder().input(shape, range)


def test_step_on_a_value_that_does_not_exist_is_refused() -> None:
    builder = Builder()
    builder.input((2,), INT32)
    for index in (-1, 1):
        with pytest.raises(IllegalStep, match=f"no value {index} "):
            builder.step("clamp", index, lo=0, hi=1)


def test_op_that_does_not_exist_is_named() -> None:
    with pytest.raises(UserError, match="no integer op is called 'convolve'"):
        Builder().step("convolve")


def test_ports_must_be_the_inputs_and_what_steps_make() -> None:
    builder = Builder()
    x, constant = builder.input((2,), Range(0, 9)), builder.constant(np.array([1]))
    ports = [Port(index, 2**23, 23) for index in (x, constant)]
    for inputs, outputs in (([], ports[:1]), (ports[1:], ports[:1]), (ports, ports[:1]), (ports[:1] * 2, ports[:1])):
        with pytest.raises(IllegalStep, match="input ports"):
            builder.build(inputs, outputs)
    for outputs in ([], ports[1:], [Port(9, 2**23, 23)]):
        with pytest.raises(IllegalStep, match="output port"):
            builder.build(ports[:1], outputs)


def test_constants_are_copied_and_cannot_be_written() -> None:
    data = np.array([1, 2])
    builder = Builder()
    held = builder[builder.constant(data)].data
    data[0] = 9
    assert held is not None
    assert held.tolist() == [1, 2]
    with pytest.raises(ValueError, match="read-only"):
        held[0] = 3


@pytest.mark.parametrize(
    ("lo", "hi", "bits"), [(0, 0, 1), (-1, 0, 1), (0, 1, 2), (-128, 127, 8), (0, 255, 9), (-129, 0, 9)]
)
def test_bits_of_a_range(lo: int, hi: int, bits: int) -> None:
    assert Range(lo, hi).bits == bits
