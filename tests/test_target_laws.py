"""Every target's laws: bit for bit what the interpreter computes, on every value of every drawn program."""

from __future__ import annotations

import math
import weakref
from collections import Counter
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from lowbit.backends import arrays as parts
from lowbit.backends import convolving
from lowbit.backends.arrays import Arrays
from lowbit.backends.check import REFERENCE, compare
from lowbit.backends.dividing import root
from lowbit.backends.fixed.program import Builder, Port, Program
from lowbit.backends.fixed.registry import op_named
from lowbit.backends.fixed.types import INT32, Range
from lowbit.backends.stepwise import Stepwise
from lowbit.backends.target import Target, targets
from lowbit.backends.targets import interpreter
from lowbit.backends.targets.numpy import NUMPY
from lowbit.backends.targets.torch import TORCH
from lowbit.compiler.errors import Broken, Unsupported, UserError
from op_evidence import EVIDENCE
from programs import Drawn, every_op, laws, programs, steps, uniform

RUNNABLE = [name for name, target in targets().items() if not target.available()]
every_target = pytest.mark.parametrize("name", RUNNABLE)
# What builds each program first has its own suites, which build many at once.
QUICK = [name for name in RUNNABLE if not targets()[name].builds]
every_quick = pytest.mark.parametrize("name", QUICK)
every_other = pytest.mark.parametrize("name", [name for name in QUICK if name != REFERENCE])


def agree(name: str, program: Program, inputs: list[np.ndarray[Any, Any]]) -> None:
    [comparison] = compare(program, inputs, {name: targets()[name]})
    assert comparison.equal, comparison.difference
    assert comparison.values >= len({step.output for step in program.steps} | {p.value for p in program.outputs})


def linear_program(weight: Any, bias: Any, x: Range) -> Program:
    builder = Builder()
    given = builder.input((np.shape(weight)[1],), x)
    output = builder.step("linear", given, builder.constant(np.array(weight)), builder.constant(np.array(bias)))
    return builder.build([Port(given, 2**23, 23)], [Port(output, 2**23, 23)])


def clamps(*bounds: int) -> Program:
    builder = Builder()
    value = first = builder.input((2,), Range(-9, 9))
    for layer, bound in enumerate(bounds):
        value = builder.step("clamp", value, lo=-bound, hi=bound, origin=f"layer{layer}")
    return builder.build([Port(first, 2**23, 23)], [Port(value, 2**23, 23)])


@every_other
@laws(150)
@given(programs())
def test_every_value_of_a_program_is_the_interpreters(name: str, case: Drawn) -> None:
    agree(name, case.program, case.inputs)


@every_other
@pytest.mark.parametrize("op", every_op())
@laws(25)
@given(st.data())
def test_every_op_is_the_interpreters_on_its_edges(name: str, op: str, data: st.DataObject) -> None:
    case = data.draw(steps(op))
    agree(name, case.program, case.inputs)


@every_other
@laws(25)
@given(programs(), st.sampled_from([0, 1, 3]), st.sampled_from(["lo", "hi"]))
def test_widest_inputs_are_the_interpreters_at_any_batch(name: str, case: Drawn, batch: int, end: str) -> None:
    values = [case.program.values[port.value] for port in case.program.inputs]
    agree(name, case.program, [np.full((batch, *value.shape), getattr(value.range, end)) for value in values])


@every_other
@pytest.mark.parametrize("most", [2**24 - 1, 2**24, 2**24 + 1, 2**26 + 1, 2**31 - 2])
def test_products_stay_exact_where_float32_stops(name: str, most: int) -> None:
    single = linear_program([[1, 0], [0, -1]], [0, 0], Range(0, most))
    agree(name, single, [np.array([[most, most - 1], [most - 2, most - 3]])])
    third = most // 3
    double = linear_program([[2, 1], [-1, -2]], [0, 0], Range(0, third))
    agree(name, double, [np.array([[third, third], [third, third - 1], [third, third - 2]])])


@every_other
def test_long_products_stay_exact_where_float32_stops(name: str) -> None:
    weight = np.random.default_rng(1).integers(-127, 128, (4, 1200))
    program = linear_program(weight, [1, 2, 3, 4], Range(0, 255))
    ups = np.where(weight > 0, 255, 0)
    agree(name, program, [np.concatenate([ups, 255 - ups, uniform(None, (3, 1200), Range(0, 255), 2)])])


@every_other
@laws(25)
@given(steps("conv2d"))
def test_convolution_in_pieces_is_the_same(name: str, case: Drawn) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(convolving, "COLUMN_BYTES", 1)
        patch.setattr(parts, "BLOCK", 8)
        agree(name, case.program, case.inputs)


@every_other
@laws(60)
@given(steps("conv2d"), st.booleans(), st.booleans(), st.integers(0, 2**32 - 1))
def test_convolutions_with_their_rounding(name: str, case: Drawn, fraction: bool, shared: bool, seed: int) -> None:
    """Unwatched, where nobody sees the sums; others may read them too, and some need more than float64 holds."""
    program = rounded(case.program, fraction, shared, np.random.default_rng(seed))
    expected = targets()[REFERENCE].run(program, case.inputs)
    assert all(map(np.array_equal, targets()[name].run(program, case.inputs), expected))


def rounded(program: Program, fraction: bool, shared: bool, random: np.random.Generator) -> Program:
    """The program of one step, what it gives rounded.   shared: the sums are an output too."""
    builder, (step,) = Builder(), program.steps
    narrow = program.values[step.output].range.magnitude < 2**30  # there is room for a bias
    for i, value in enumerate(program.values[: step.output]):
        more = random.integers(-99, 99, value.shape) * narrow * (i == step.inputs[2])
        builder.input(value.shape, value.range) if value.data is None else builder.constant(value.data + more)
    sums = builder.step(step.op, *step.inputs, **step.attributes)
    channels, bits = int(random.choice([1, builder[sums].shape[0]])), builder[sums].range.magnitude.bit_length()
    least = bits + random.integers(14, 24)  # codes of one bit to nine
    vectors = [random.integers(2**23, 2**24, channels), random.integers(least, least + 4, channels).clip(1, 62)]
    vectors += [random.integers(-(2**15), 2**15, channels)] * fraction
    constants = [builder.constant(vector) for vector in vectors]
    ends = sorted(random.integers(-200, 200, 2).tolist())
    given = {"axis": 0, "zero": int(random.integers(-99, 99)), "lo": ends[0], "hi": ends[1]}
    q = builder.step("requantize" if fraction else "rescale", sums, *constants, **given)
    outputs = [Port(value, 2**23, 23) for value in ((q, sums) if shared else (q,))]
    return builder.build([Port(port.value, 2**23, 23) for port in program.inputs], outputs)


@every_quick
@laws(25)
@given(programs())
def test_running_is_pure_and_the_watch_sees_every_step(name: str, case: Drawn) -> None:
    before, seen = [array.copy() for array in case.inputs], {}
    watched = targets()[name].run(case.program, case.inputs, seen.__setitem__)
    again = targets()[name].run(case.program, case.inputs)
    assert all(map(np.array_equal, before, case.inputs))
    assert all(map(np.array_equal, watched, again))
    assert seen.keys() == {step.output for step in case.program.steps}
    for value, array in seen.items():
        assert array.dtype == np.int64
        assert array.shape == (len(before[0]), *case.program.values[value].shape)
        assert not array.size or Range.of(array) in case.program.values[value].range
    assert [array.dtype for array in watched] == [np.dtype(np.int64)] * len(watched)


@every_target
def test_an_output_may_be_an_input_and_every_integer_type_may_enter(name: str) -> None:
    builder = Builder()
    given = builder.input((2,), Range(0, 9))
    program = builder.build([Port(given, 2**23, 23)], [Port(given, 2**23, 23)])
    for dtype in ("uint8", "int8", "int16", "uint16", "int32", "uint32", "int64", "uint64"):
        array = np.array([[3, 9]], dtype)
        assert targets()[name].run(program, [array])[0].tolist() == [[3, 9]]


@every_target
@pytest.mark.parametrize(
    ("inputs", "what"),
    [
        ([], "takes 2 inputs, not 0"),
        ([np.zeros((1, 3)), np.zeros((1, 3), int)], "holds float64, not integers"),
        ([np.zeros((1, 3), bool), np.zeros((1, 3), int)], "holds bool, not integers"),
        ([np.zeros((1, 4), int), np.zeros((1, 3), int)], r"shape \(1, 4\), not \(batch, 3\)"),
        ([np.zeros(3, int), np.zeros((1, 3), int)], r"shape \(3,\), not \(batch, 3\)"),
        ([np.zeros((2, 3), int), np.zeros((1, 3), int)], r"different batch sizes: \[2, 1\]"),
        ([np.zeros((1, 3), int), np.array([[0, 1, 128]])], r"in \[0, 128\], outside \[-128, 127\]"),
        ([np.array([[-129, 1, 0]]), np.zeros((1, 3), int)], r"in \[-129, 1\], outside \[-128, 127\]"),
        ([np.full((1, 3), 2**64 - 1, np.uint64), np.zeros((1, 3), int)], "18446744073709551615"),
    ],
)
def test_unfit_inputs_are_named(name: str, inputs: list[Any], what: str) -> None:
    builder = Builder()
    ends = [builder.input((3,), Range(-128, 127)) for _ in range(2)]
    ports = [Port(end, 2**23, 23) for end in ends]
    with pytest.raises(UserError, match=what):
        targets()[name].run(builder.build(ports, ports), inputs)


@pytest.mark.parametrize("precision", ["medium", "high", "highest"])
def test_torch_is_exact_whatever_precision_training_allows(precision: str) -> None:
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    try:
        weight = np.random.default_rng(2).integers(-2000, 2001, (64, 64))
        program = linear_program(weight, [0] * 64, Range(0, 127))
        agree("torch", program, [uniform(None, (64, 64), Range(0, 127), 3)])
        assert torch.get_float32_matmul_precision() == precision
    finally:
        torch.set_float32_matmul_precision(before)


def test_values_are_freed_after_their_last_reader() -> None:
    alive: weakref.WeakSet[Any] = weakref.WeakSet()
    peak: list[int] = []

    class Held:
        def __init__(self) -> None:
            alive.add(self)
            peak.append(len(alive))

    def make(_: Any) -> Any:
        return lambda *given: Held()

    stepwise = Stepwise({"clamp": make}, load=lambda given: Held(), store=lambda held: np.zeros((1, 2), np.int64))
    stepwise(clamps(9, 8, 7, 6, 5, 4), [np.zeros((1, 2), np.int64)])
    assert max(peak) == 2


def test_an_op_without_a_kernel_and_an_absent_target_are_unsupported() -> None:
    bare = Target(Stepwise({}, load=lambda given: given, store=lambda held: held))
    with pytest.raises(Unsupported, match="no kernel for 'clamp'"):
        bare.run(clamps(3), [np.zeros((1, 2), int)])
    absent = replace(bare, available=lambda: "no such compiler")
    with pytest.raises(Unsupported, match="no such compiler"):
        absent.run(clamps(3), [np.zeros((1, 2), int)])
    [comparison] = compare(clamps(3), [np.zeros((1, 2), int)], {"absent": absent})
    assert comparison.unavailable == "no such compiler"
    assert not comparison.equal


def test_check_names_the_first_step_that_differs() -> None:
    def off_by_one(call: Any) -> Any:
        return lambda x: np.minimum(x, call.hi - 1) if call.hi <= 5 else x.clip(call.lo, call.hi)

    wrong = replace(interpreter.TARGET, execute=replace(interpreter.TARGET.execute, makers={"clamp": off_by_one}))
    right, found = compare(clamps(9, 5, 4), [np.array([[4, 3], [7, 1]])], {"right": interpreter.TARGET, "wrong": wrong})
    assert right.equal
    assert (right.values, right.elements) == (3, 12)
    assert found.difference is not None
    assert str(found.difference) == "%2 = clamp, from layer1: 1 elements differ; the first, [1,0] is 4, not 5"


def test_check_refuses_a_target_of_another_shape() -> None:
    flat = Target(partial(lambda program, inputs, watch: [np.zeros((1, 3), np.int64)]))
    with pytest.raises(Broken, match="shape"):
        compare(clamps(3), [np.zeros((1, 2), int)], {"flat": flat})


def test_census_every_op_is_drawn_in_programs() -> None:
    drawn: Counter[str] = Counter()

    @laws(300)
    @given(programs())
    def look(case: Drawn) -> None:
        drawn.update(name for name, _ in case.asked)
        drawn["several steps"] += len(case.asked) > 2
        drawn["full width"] += any(value.range == INT32 for value in case.program.values)

    look()
    assert drawn.keys() >= {*every_op(), "several steps", "full width"}, drawn
    assert [name for name in every_op() if drawn[name] < 5] == [], drawn
    assert any(op_named(name).expand for name in EVIDENCE)


@pytest.mark.parametrize("arrays", [NUMPY, TORCH], ids=["numpy", "torch"])
def test_integer_roots_are_exact_where_floats_are_not(arrays: Arrays) -> None:
    roots = np.array([0, 1, 2, 3, 2**26 + 1, 2**27 - 1, 2**30 + 12345, 2**31 - 1])
    for more in (-1, 0, 1):
        squares = np.maximum(roots * roots + more, 0)
        found = root(arrays, arrays.load(squares, "int64"))
        assert [int(r) for r in found] == [math.isqrt(int(square)) for square in squares]
