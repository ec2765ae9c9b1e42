"""Laws of batches in compiled C: real ends are those of `Compiled`, and threads change nothing but the time."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from c99_draws import fused
from hypothesis import given
from hypothesis import strategies as st
from lowbit import Compiled, UserError
from lowbit.backends import soonest
from lowbit.backends.c99 import compiler, threads
from lowbit.backends.c99.batches import numbers
from lowbit.backends.c99.host import Hosted, hosted
from lowbit.backends.c99.unit import unit
from lowbit.backends.c99.variants import PORTABLE
from lowbit.backends.fixed.program import Builder, Port, Program
from lowbit.backends.fixed.types import INT32, Range
from lowbit.backends.target import targets
from programs import Drawn, laws

compiles = pytest.mark.skipif(bool(compiler.reason()), reason=compiler.reason())
ENDS = [(0, 255), (-128, 127), (-3, 3), (-(2**15), 2**15 - 1), (0, 2**16 - 1), (-(2**20), 2**20)]
SIZE = 40


def clamped(lo: int, hi: int) -> Program:
    """Two inputs of that range; what is given back is the first kept narrower, and the second."""
    builder = Builder()
    first, second = (builder.input((SIZE,), Range(lo, hi)) for _ in range(2))
    narrow = builder.step("clamp", first, lo=lo + 1, hi=hi)
    return builder.build([Port(each, 2**23, 23) for each in (first, second)], [port(narrow), port(second)])


def port(value: int, multiplier: int = 2**23, shift: int = 23, zero: int = 0) -> Port:
    return Port(value, multiplier, shift, zero)


@pytest.fixture(scope="module")
def plain() -> dict[tuple[int, int], Hosted]:
    """Programs of each type of integer at both ends, which no scale and no zero is compiled into."""
    units = [unit(clamped(*ends), f"run{i}") for i, ends in enumerate(ENDS)]
    return dict(zip(ENDS, hosted(units, ("-O2", "-march=native")), strict=True))


def on(made: Hosted, ports: list[Port]) -> tuple[Hosted, Program]:
    """The same C, whose integers stand for something else."""
    schedule = made.unit.schedule
    program = replace(schedule.program, inputs=tuple(ports[:2]), outputs=tuple(ports[2:]))
    return replace(made, unit=replace(made.unit, schedule=replace(schedule, program=program))), program


@st.composite
def reals(draw: st.DrawFn, ends: tuple[int, int], each: Port) -> np.ndarray[Any, Any]:
    """Ties, integers and their neighbours on that grid, both ends and far beyond, numbers of any size; of any type."""
    codes = st.integers(ends[0] - 3, ends[1] + 3).map(lambda q: (q - each.zero) * each.scale)
    ties = st.integers(ends[0] - 3, ends[1] + 3).map(lambda q: (q - each.zero + 0.5) * each.scale)
    beside = st.tuples(ties, st.sampled_from([-1, 1])).map(lambda t: float(np.nextafter(np.float32(t[0]), t[1] * 1e30)))
    anything = st.floats(-(2.0**100), 2.0**100, width=32)
    least = draw(st.lists(codes | ties | beside | anything, min_size=SIZE // 4, max_size=SIZE))
    x = np.resize(least, (draw(st.sampled_from([1, 3])), SIZE))
    kind = draw(st.sampled_from(["float32", "float32", ">f4", "float64", "int16", "bool", "turned", "kept"]))
    if kind == "turned":
        return np.asfortranarray(x.astype("float32"))
    if kind == "kept":
        x = x.astype("float32")
        x.flags.writeable = False
        return x
    return x.clip(-(2**14), 2**14).astype(kind) if kind == "int16" else x.astype(kind)


@compiles
@laws(300)
@given(st.data())
def test_real_ends_are_those_of_a_compiled_program(plain: dict[tuple[int, int], Hosted], data: st.DataObject) -> None:
    ends = data.draw(st.sampled_from(ENDS))
    values = [each.value for side in ("inputs", "outputs") for each in getattr(clamped(*ends), side)]
    drawn = st.tuples(st.integers(2**23, 2**24 - 1), st.integers(-10, 60), st.integers(-300, 300))
    ports = [Port(value, *data.draw(drawn)) for value in values]
    made, program = on(plain[ends], ports)
    first = data.draw(reals(ends, ports[0]))
    second = np.resize(data.draw(reals(ends, ports[1])), first.shape)
    with np.errstate(all="ignore"):
        expected = Compiled(program).run(first, second, target="interpreter")
    found = made.real([first, second])
    assert found is not None
    for y, right in zip(found, expected, strict=True):
        assert (y.dtype, y.shape) == (right.dtype, right.shape)
        assert y.tobytes() == right.tobytes()


UNFIT = [
    ([np.zeros((1, SIZE))], "takes 2 inputs"),
    ([np.zeros((1, SIZE)), np.full((1, SIZE), np.nan)], "infinity or not-a-number"),
    ([np.full((2, SIZE), -np.inf), np.zeros((2, SIZE))], "infinity or not-a-number"),
    ([np.zeros((1, SIZE)), np.full((1, SIZE), "a")], "not numbers"),
    ([np.zeros((1, SIZE)), np.zeros((1, SIZE + 1))], "shape"),
    ([np.zeros(SIZE), np.zeros(SIZE)], "shape"),
    ([np.zeros(()), np.zeros(())], "shape"),
    ([np.zeros((1, SIZE)), np.zeros((2, SIZE))], "different batch sizes"),
]


@compiles
@pytest.mark.parametrize(("inputs", "what"), UNFIT, ids=[str(i) for i in range(len(UNFIT))])
def test_what_is_refused_is_left_to_where_it_is_named(
    plain: dict[tuple[int, int], Hosted], inputs: list[np.ndarray[Any, Any]], what: str
) -> None:
    assert plain[ENDS[0]].real(inputs) is None
    program = clamped(*ENDS[0])
    targets()["c99"].run(program, [np.zeros((1, SIZE), int)] * 2)
    with pytest.raises(UserError, match=what):
        Compiled(program).run(*inputs, target="c99")


def test_grids_that_float32_does_not_hold_are_left_to_numpy() -> None:
    program = clamped(-(2**23), 2**23)
    assert numbers(program) is not None
    first, *others = program.inputs
    for unfit in (Port(first.value, 2**23, 200), Port(first.value, 2**23, -200), Port(first.value, 2**23, 0, 2**24)):
        assert numbers(replace(program, inputs=(unfit, *others))) is None
    assert numbers(clamped(INT32.lo, INT32.hi - 1)) is None


@compiles
def test_a_program_that_has_paid_runs_with_its_ends_in_c(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled, x = Compiled(clamped(0, 255)), np.linspace(-300, 300, 2 * SIZE, dtype=np.float32).reshape(2, SIZE)
    first = compiled.run(x, x)
    assert soonest.ready(compiled.program) is None
    monkeypatch.setattr(soonest, "CALL", soonest.PAYS)
    assert all(map(np.array_equal, compiled.run(x, x), first))  # builds it
    monkeypatch.setattr(Compiled, "quantize", None)
    assert all(map(np.array_equal, compiled.run(x, x), first))


@pytest.mark.parametrize(("samples", "work", "most", "parts"), [
    (0, 10**9, 4, 1), (1, 10**12, 4, 1), (7, threads.GRAIN, 3, 3), (2, threads.GRAIN, 5, 2), (5, threads.GRAIN, 1, 1),
    (16, threads.GRAIN // 16, 4, 1), (16, threads.GRAIN // 8, 4, 2), (16, threads.GRAIN // 16 - 1, 4, 1),
])  # fmt: skip
def test_samples_are_shared_out_once_where_that_is_worth_it(
    samples: int, work: int, most: int, parts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: most)
    runs = threads.shared(samples, work, lambda first, last: (first, last))
    assert len(runs) == parts
    assert [runs[0][0], runs[-1][1]] == [0, samples]
    assert all(one[1] == other[0] for one, other in pairwise(runs))
    assert max(last - first for first, last in runs) - min(last - first for first, last in runs) <= 1


@pytest.fixture(scope="module")
def several() -> list[tuple[Drawn, Hosted]]:
    """Programs with arenas and constants of their own, in one library; batches of five different samples."""
    cases = list(several_cases())
    units = [unit(case.program, f"run{i}", variants=(PORTABLE,)) for i, case in enumerate(cases)]
    return list(zip(cases, hosted(units, ("-O1",)), strict=True))


def several_cases() -> Iterator[Drawn]:
    for seed, case in enumerate(fused(range(12))):
        (x,) = case.inputs
        yield replace(case, inputs=[np.random.default_rng(seed).permuted(np.resize(x, (5, *x.shape[1:])), axis=0)])


@compiles
def test_threads_compute_what_one_does(several: list[tuple[Drawn, Hosted]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "GRAIN", 1)
    for case, made in several:
        expected = targets()["numpy"].run(case.program, case.inputs)
        for most in (1, 2, 3, 9):
            monkeypatch.setattr(torch, "get_num_threads", lambda most=most: most)
            assert all(map(np.array_equal, made(case.inputs), expected)), (most, case)
            found = made.real([x.astype(np.float32) for x in case.inputs])
            assert found is not None
            assert all(map(np.array_equal, found, expected))


@compiles
def test_many_may_call_at_once(several: list[tuple[Drawn, Hosted]]) -> None:
    """Programs with the same C, whose constants differ, too."""
    again = [(case, replace(made)) for case, made in several for _ in range(40)]
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda pair: pair[1](pair[0].inputs), again))
    for (case, _), outputs in zip(again, found, strict=True):
        assert all(map(np.array_equal, outputs, targets()["numpy"].run(case.program, case.inputs)))


@compiles
def test_programs_of_the_same_c_keep_their_own_constants() -> None:
    x = np.arange(2**20).reshape(-1, 8) % 256  # as long as threads take turns
    weights = [np.random.default_rng(seed).integers(-100, 100, (8, 8)) for seed in range(2)]
    programs = [linear(weight) for weight in weights]
    made = [hosted([unit(program, "same")])[0] for program in programs]
    assert made[0].library is made[1].library
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda i: made[i % 2]([x])[0], range(40)))
    expected = [targets()["numpy"].run(program, [x])[0] for program in programs]
    assert not np.array_equal(*expected)
    assert all(np.array_equal(y, expected[i % 2]) for i, y in enumerate(found))


def linear(weight: np.ndarray[Any, Any]) -> Program:
    builder = Builder()
    x = builder.input((8,), Range(0, 255))
    weight = np.concatenate([weight[:, :-1], np.resize([-100, 99], (8, 1))], axis=1)  # of one range in all
    y = builder.step("linear", x, builder.constant(weight), builder.constant(np.zeros(8, int)))
    return builder.build([port(x)], [port(y)])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are not forked here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_makes_threads_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    assert threads.shared(2, threads.GRAIN, lambda first, last: last) == [1, 2]
    child = os.fork()
    if not child:
        signal.alarm(20)  # it would wait for ever
        os._exit(threads.shared(2, threads.GRAIN, lambda first, last: last) != [1, 2])
    assert os.waitpid(child, 0)[1] == 0
