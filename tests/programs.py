"""Draws whole fixed-point programs with every op in them, and inputs that seek the edges of their equations."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from lowbit.backends.fixed.op import Call, Operand
from lowbit.backends.fixed.program import Builder, Port, Program
from lowbit.backends.fixed.registry import op_named, ops
from lowbit.backends.fixed.text import text
from lowbit.backends.fixed.types import INT32, Range
from lowbit.backends.fixed.verify import IllegalStep
from op_draws import Draw
from op_evidence import EVIDENCE, drawn

Array = np.ndarray[Any, Any]
RANGES = [(0, 255), (-128, 127), (0, 1), (-1, 0), (7, 7), (-3, 100), (-(2**20), 2**22), (INT32.lo, INT32.hi)]
BATCHES = st.sampled_from([0, 1, 3])


def laws(examples: int) -> settings:
    """That many draws in the quick profile, the same on every machine; in another, more in proportion."""
    return settings(max_examples=examples * settings.default.max_examples // settings.get_profile("quick").max_examples)


@dataclass(frozen=True)
class Drawn:
    """A program, inputs for it, and the ops asked of the builder, before expansion, with what each was given."""

    program: Program
    inputs: list[Array]
    asked: list[tuple[str, Call]]

    def __repr__(self) -> str:
        return f"{text(self.program)}\ninputs {[array.tolist() for array in self.inputs]}"


@st.composite
def operands(draw: Draw, ranks: range = range(1, 5), widest: int = 2**31) -> Operand:
    """A small tensor of that many axes, with a range of every kind up to that magnitude."""
    rank = draw(st.sampled_from(ranks))
    legal = [ends for ends in RANGES if Range(*ends).magnitude <= widest]
    return Operand(tuple(draw(st.integers(1, 5)) for _ in range(rank)), Range(*draw(st.sampled_from(legal))))


@st.composite
def steps(draw: Draw, name: str) -> Drawn:
    """A program of one step of that op on inputs of its own, full of the op's edges."""
    x = draw(operands(EVIDENCE[name].ranks, EVIDENCE[name].widest))
    step = drawn(draw, name, x)
    builder = Builder()
    ends = [_declared(builder, operand) for operand in step.operands.values()]
    output = builder.step(name, *ends, **step.attributes)
    program = _closed(builder, [i for i in ends if builder[i].data is None], output)
    edges = op_named(name).edges(step)
    return Drawn(program, _inputs(draw, program, edges), [(name, step)])


@st.composite
def programs(draw: Draw) -> Drawn:
    """Up to six steps, each on any value made before, with attempts at illegal steps in between."""
    builder = Builder()
    asked: list[tuple[str, Call]] = []
    x = draw(operands(range(3, 4)) | operands(range(3, 5)) | operands())
    pool = [builder.input(x.shape, x.range)]
    for _ in range(draw(st.integers(1, 6))):
        value = draw(st.sampled_from(pool[-2:]))
        names = [n for n, e in EVIDENCE.items() if e.takes(builder[value].shape, builder[value].range)]
        picky = [name for name in names if len(EVIDENCE[name].ranks) == 1]
        name = draw(st.sampled_from([*names, *names, *picky, *picky, *picky]))
        if draw(st.integers(0, 9)) == 0:
            attempt_illegal(builder, name)
        pool.append(_appended(draw, builder, name, value, pool, asked))
    program = _closed(builder, pool[:1], *sorted({pool[-1], draw(st.sampled_from(pool))}))
    edges = [
        edge for name, step in asked if next(iter(step.operands.values())) == x for edge in op_named(name).edges(step)
    ]
    return Drawn(program, _inputs(draw, program, edges), asked)


def attempt_illegal(builder: Builder, name: str) -> None:
    """Ask for every illegal step known of that op: each must be refused without leaving a step behind."""
    for constraint, step in ((constraint, step) for constraint, some in EVIDENCE[name].breaks.items() for step in some):
        if all(operand.data is not None or operand.range in INT32 for operand in step.operands.values()):
            apart = Builder()
            ends = [_declared(apart, operand) for operand in step.operands.values()]
            with pytest.raises(IllegalStep, match=f"^{constraint} {name}"):
                apart.step(name, *ends, **step.attributes)
    with pytest.raises(IllegalStep):
        builder.step(name, 0, nonsense=0)


def uniform(values: Array | None, shape: Sequence[int], range: Range, seed: int) -> Array:
    """Random integers of the range; where `values` are given, about half of them are those."""
    random = np.random.default_rng(seed)
    anywhere = random.integers(range.lo, range.hi, shape, endpoint=True)
    if values is None or not values.size:
        return anywhere
    return np.where(random.random(shape) < 0.5, random.choice(values, shape), anywhere)


def _appended(
    draw: Draw, builder: Builder, name: str, value: int, pool: list[int], asked: list[tuple[str, Call]]
) -> int:
    x = Operand(builder[value].shape, builder[value].range)
    step = drawn(draw, name, x)
    same = [i for i in pool if builder[i].shape == x.shape and EVIDENCE[name].takes(x.shape, builder[i].range)]
    given = [
        builder.constant(operand.data)
        if operand.data is not None
        else (value if place == 0 else _cut(builder, draw(st.sampled_from(same)), operand.shape))
        for place, operand in enumerate(step.operands.values())
    ]
    output = builder.step(name, *given, origin=f"layer{len(asked)}", **step.attributes)
    # Without a bound the drawn shapes could grow with every pad and every outer reshape.
    if math.prod(builder[output].shape) > 2000:
        return value
    asked.append((name, step))
    return output


def _cut(builder: Builder, value: int, shape: tuple[int, ...]) -> int:
    """The first elements of a value, as many along each axis."""
    if builder[value].shape == shape:
        return value
    return builder.step("slice", value, start=(0,) * len(shape), stop=shape, step=(1,) * len(shape))


def _declared(builder: Builder, operand: Operand) -> int:
    if operand.data is not None:
        return builder.constant(operand.data)
    return builder.input(operand.shape, operand.range)


def _closed(builder: Builder, inputs: list[int], *outputs: int) -> Program:
    return builder.build([Port(i, 2**23, 30, 1) for i in inputs], [Port(i, 2**23 + 1, 20) for i in outputs])


def _inputs(draw: Draw, program: Program, edges: list[int]) -> list[Array]:
    batch, seed = draw(BATCHES), draw(st.integers(0, 2**32))
    arrays = []
    for place, port in enumerate(program.inputs):
        value = program.values[port.value]
        kinds = {"low": value.range.lo, "high": value.range.hi, "zero": 0, "mixed": None}
        kind = draw(st.sampled_from(sorted(kinds)))
        if (fill := kinds[kind]) is not None and fill in value.range:
            arrays.append(np.full((batch, *value.shape), fill))
            continue
        special = np.array([edge for edge in edges if edge in value.range], dtype=np.int64)
        arrays.append(uniform(special, (batch, *value.shape), value.range, seed + place))
    return arrays


def every_op() -> list[str]:
    return sorted(ops())
