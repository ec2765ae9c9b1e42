"""Every integer op's laws: each rule refuses what breaks it, proofs are sound and tight, and the value is the value."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lowbit.backends.fixed.op import Attribute, Call, Legal
from lowbit.backends.fixed.program import Builder
from lowbit.backends.fixed.registry import names_by_code, op_named, ops
from lowbit.backends.fixed.rounding import halves_up, ties
from lowbit.backends.fixed.sums import dot, partial_dot, scaled
from lowbit.backends.fixed.types import INT32, Range
from lowbit.backends.fixed.verify import IllegalStep, check
from lowbit.backends.target import targets
from op_draws import brim
from op_evidence import EVIDENCE, call, changed, constant, tensor
from op_oracles import ORACLES
from programs import Drawn, every_op, laws, steps

KINDS = {
    "conv2d": ("widest",),
    "conv3d": ("widest",),
    "linear": ("widest",),
    "sum": ("widest",),
    "sum_pool2d": ("widest",),
    "rescale": ("tie", "low", "high", "per channel"),
    "requantize": ("low", "high", "per channel"),
    "add": ("tie", "low", "high", "spread"),
    "matmul": ("widest",),
    "divide": ("low", "high", "spread"),
    "standardize": ("low", "high"),
    "clamp": ("low", "high"),
    "multiply": ("widest", "spread"),
    "table": ("below", "above", "per channel"),
}
every = pytest.mark.parametrize("name", every_op())
CONSTRAINTS = [(name, c.name) for name in every_op() for c in ops()[name].constraints]
ENDS = [(name, attribute, end) for name in every_op() for attribute in ops()[name].attributes for end in ("lo", "hi")]


def checked(name: str, step: Call) -> tuple[tuple[int, ...], Range]:
    return check(name, tuple(step.operands.values()), step.attributes)


def broken_rule(name: str, step: Call) -> str:
    """The rule that refuses the step ("C2", "A:stride", ...), or "" for a legal step."""
    try:
        checked(name, step)
    except IllegalStep as refusal:
        return refusal.what.split(" ")[0]
    return ""


def outputs(case: Drawn) -> np.ndarray[Any, Any]:
    return targets()["interpreter"].run(case.program, case.inputs)[0]


@every
def test_has_evidence_an_oracle_and_a_number_of_its_own(name: str) -> None:
    assert name in EVIDENCE
    assert name in ORACLES
    assert names_by_code()[op_named(name).code] == name


@every
def test_constraints_are_numbered_from_one_in_full_sentences(name: str) -> None:
    constraints = op_named(name).constraints
    assert sorted(c.name for c in constraints) == [f"C{number + 1}" for number in range(len(constraints))]
    assert all(c.sentence.endswith(".") for c in constraints)


@every
def test_base_step_is_legal(name: str) -> None:
    assert broken_rule(name, EVIDENCE[name].base) == ""


@pytest.mark.parametrize(("name", "constraint"), CONSTRAINTS, ids=[f"{n}_{c}" for n, c in CONSTRAINTS])
def test_constraint_broken_alone_is_refused(name: str, constraint: str) -> None:
    broken = EVIDENCE[name].breaks[constraint]
    assert [broken_rule(name, step) for step in broken] == [constraint] * len(broken)
    assert broken


@pytest.mark.parametrize(("name", "attribute", "end"), ENDS)
def test_attribute_is_legal_up_to_its_ends_and_no_further(name: str, attribute: str, end: str) -> None:
    legal = op_named(name).attributes[attribute]
    last, past = (legal.lo, legal.lo - 1) if end == "lo" else (legal.hi, legal.hi + 1)
    assert broken_rule(name, changed(EVIDENCE[name].base, **{attribute: _filled(legal, last)})) != f"A:{attribute}"
    assert broken_rule(name, changed(EVIDENCE[name].base, **{attribute: _filled(legal, past)})) == f"A:{attribute}"


@every
def test_attribute_missing_misspelt_or_of_another_kind_is_refused(name: str) -> None:
    base = EVIDENCE[name].base
    assert broken_rule(name, changed(base, nonsense=1)) == "A:nonsense"
    for attribute, legal in op_named(name).attributes.items():
        others = {key: value for key, value in base.attributes.items() if key != attribute}
        assert broken_rule(name, Call(base.operands, others)) == f"A:{attribute}"
        for wrong in (1.0, "1", (1,) * 5 if legal.length else (1.5,), None):
            assert broken_rule(name, changed(base, **{attribute: wrong})) == f"A:{attribute}"


@every
def test_input_missing_constant_or_varying_where_it_must_not_be_is_refused(name: str) -> None:
    base = EVIDENCE[name].base
    assert broken_rule(name, Call(dict(list(base.operands.items())[1:]), base.attributes)) == "I"
    for given_name, operand in base.operands.items():
        other = constant(np.ones(operand.shape)) if operand.data is None else tensor(*operand.shape)
        assert broken_rule(name, changed(base, **{given_name: other})) == f"I:{given_name}"


@every
@laws(40)
@given(st.data())
def test_output_has_the_shape_and_lies_in_the_range(name: str, data: st.DataObject) -> None:
    case = data.draw(steps(name))
    proven, found = case.program.values[case.program.outputs[0].value], outputs(case)
    assert found.shape == (len(case.inputs[0]), *proven.shape)
    assert proven.range in INT32
    assert not found.size or Range.of(found) in proven.range


@every
@laws(60)
@given(st.data())
def test_value_is_the_oracles(name: str, data: st.DataObject) -> None:
    case = data.draw(steps(name))
    [(_, step)] = case.asked
    given_names = [key for key, operand in step.operands.items() if operand.data is None]
    constants = {key: operand.data for key, operand in step.operands.items() if operand.data is not None}
    expected = ORACLES[name](**dict(zip(given_names, case.inputs, strict=True)), **constants, **step.attributes)
    np.testing.assert_array_equal(outputs(case), expected)
    exact = {key: array.astype(object) for key, array in constants.items()}
    exact |= {key: array.astype(object) for key, array in zip(given_names, case.inputs, strict=True)}
    np.testing.assert_array_equal(op_named(name).value(**exact, **step.attributes), expected)


@every
@laws(40)
@given(st.data())
def test_range_and_shape_of_an_expansion_are_its_ops(name: str, data: st.DataObject) -> None:
    case = data.draw(steps(name))
    [(_, step)] = case.asked
    output = case.program.values[case.program.outputs[0].value]
    assert (output.shape, output.range) == checked(name, step)
    assert all(op_named(made.op).expand is None for made in case.program.steps)


weights = st.lists(st.integers(-5, 5), min_size=1, max_size=4)
spans = st.tuples(st.integers(-4, 4), st.integers(0, 5)).map(lambda pair: Range(pair[0], pair[0] + pair[1]))


@laws(150)
@given(weights, st.integers(-9, 9), spans)
def test_dot_range_and_partial_sums_are_the_exact_extremes(row: list[int], bias: int, x: Range) -> None:
    weight, start = np.array([row]), np.array([bias])
    ends = list(itertools.product((x.lo, x.hi), repeat=len(row)))
    corners = [[bias, *(w * v for w, v in zip(row, xs, strict=True))] for xs in ends]
    sums = {sum(terms) for terms in corners}
    subsets = {sum(itertools.compress(t, keep)) for t in corners for keep in itertools.product((0, 1), repeat=len(t))}
    assert dot(weight, start, x) == Range(min(sums), max(sums))
    assert partial_dot(weight, start, x) == Range(min(subsets), max(subsets))


@laws(20)
@given(spans, st.integers(-(2**24), 2**24))
def test_range_of_a_multiple_is_that_of_its_ends(x: Range, factor: int) -> None:
    assert scaled(x, factor) == Range.of(np.array([x.lo, x.hi]) * factor)


def test_partial_sums_look_at_every_channel() -> None:
    weight, bias = np.array([[1, -2], [3, 0], [-1, -1]]), np.array([0, 5, -7])
    assert dot(weight, bias, Range(0, 10)) == Range(-27, 35)
    assert partial_dot(weight, bias, Range(0, 10)) == Range(-27, 35)


@pytest.mark.parametrize("name", ["conv2d", "linear"])
def test_accumulator_is_legal_to_the_brim_and_illegal_one_past_it(name: str) -> None:
    base = EVIDENCE[name].base
    full = brim(base.weight.data, base.x.range)
    assert broken_rule(name, changed(base, bias=constant(full))) == ""
    assert broken_rule(name, changed(base, bias=constant(full + np.eye(len(full), dtype=int)[0]))) == "C1"
    low = changed(base, weight=constant(-base.weight.data), bias=constant(-full - 1))
    assert broken_rule(name, low) == ""
    assert broken_rule(name, changed(low, bias=constant(-full - 2))) == "C1"


@pytest.mark.parametrize("name", ["conv2d", "sum_pool2d"])
def test_padding_counts_in_the_accumulator_only_where_there_is_any(name: str) -> None:
    hollow = changed(EVIDENCE[name].base, pad_value=2**30)
    assert broken_rule(name, hollow) == ""
    assert broken_rule(name, changed(hollow, padding=(0, 1, 0, 0))) == "C1"


def test_cancelling_terms_do_not_excuse_a_partial_sum() -> None:
    step = call(x=tensor(2, lo=1, hi=1), weight=constant([[2**31 - 1, -5]]), bias=constant([5]))
    assert broken_rule("linear", step) == "C1"


@laws(100)
@given(st.integers(-(2**40), 2**40), st.integers(1, 62))
def test_rounding_is_to_the_nearest_and_halves_go_up(total: int, shift: int) -> None:
    error = (halves_up(total, shift) << shift) - total
    assert -(1 << shift) < 2 * error <= 1 << shift


@laws(100)
@given(st.integers(-40, 40), st.integers(1, 8), st.integers(-300, 300))
def test_ties_are_all_the_ties_nearest_zero(multiplier: int, shift: int, offset: int) -> None:
    exact = [x for x in range(-600, 600) if (x * multiplier + offset) % (1 << shift) == 1 << (shift - 1)]
    found = ties(multiplier, shift, Range(-600, 599), offset)
    assert set(found) <= set(exact)
    assert bool(found) == (bool(exact) and multiplier != 0)


@every
def test_census_every_edge_of_the_equation_is_drawn(name: str) -> None:
    seen: Counter[str] = Counter()

    @laws(100)
    @given(steps(name))
    def look(case: Drawn) -> None:
        seen.update(kind for kind, met in _edges_met(name, case).items() if met)

    look()
    assert seen.keys() >= {"zero", "empty batch", *KINDS.get(name, ())}


def _edges_met(name: str, case: Drawn) -> dict[str, bool]:
    [(_, step)], found = case.asked, outputs(case)
    met = {"empty batch": not found.size, "zero": any(bool((array == 0).any()) for array in case.inputs)}
    if "widest" in KINDS.get(name, ()):
        range = case.program.values[case.program.outputs[0].value].range
        met["widest"] = bool(np.isin(found, [range.lo, range.hi]).any()) and range.lo < range.hi
    if "tie" in KINDS.get(name, ()):
        total, shift = _before_rounding(name, step, case.inputs)
        met["tie"] = bool((total % (1 << shift) == 1 << (shift - 1)).any())
    if "low" in KINDS.get(name, ()):
        unbounded = {**step.attributes, "lo": -(2**70), "hi": 2**70}
        free = np.array(op_named(name).value(*_exact(step, case.inputs), **unbounded))
        met |= {"low": bool((free < step.lo).any()), "high": bool((free > step.hi).any())}
    if name in ("rescale", "requantize"):
        met["per channel"] = len(set(step.multiplier.data.tolist())) > 1
    if name == "table":
        last = step.first + step.table.shape[1] - 1
        met |= {"below": bool((case.inputs[0] < step.first).any()), "above": bool((case.inputs[0] > last).any())}
        met["per channel"] = len(step.table.data) > 1
    if "spread" in KINDS.get(name, ()):
        met["spread"] = step.a.shape != step.b.shape
    return met


def _exact(step: Call, inputs: list[np.ndarray[Any, Any]]) -> list[Any]:
    constants = [operand.data for operand in step.operands.values() if operand.data is not None]
    return [array.astype(object) for array in [*inputs, *constants]]


def _before_rounding(name: str, step: Call, inputs: list[np.ndarray[Any, Any]]) -> tuple[Any, Any]:
    arrays = _exact(step, inputs)
    if name == "rescale":
        return (arrays[0] * arrays[1][0], int(arrays[2][0])) if len(arrays[1]) == 1 else (arrays[0] * 0, 1)
    return arrays[0] * step.multiplier_a + arrays[1] * step.multiplier_b + step.offset, step.shift


def _filled(legal: Legal, value: int) -> Attribute:
    return value if legal.length is None else (value,) * (legal.length or 1)


def test_a_fraction_moves_the_range_of_requantize() -> None:
    build = Builder()
    vectors = [build.constant(np.array([number])) for number in (2**23, 22, 2**15 - 1)]
    zero = build.input((1,), Range(0, 0))
    moved = build.step("requantize", zero, *vectors, zero=0, lo=-8, hi=7, axis=0)
    assert build[moved].range == Range(1, 1)
