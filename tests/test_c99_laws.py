"""Laws of generated C: every value is the interpreter's, and no two values that live at once share memory."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations, cycle
from typing import Any

import numpy as np
import pytest
from c99_corners import corners
from c99_draws import FLAGS, extreme, fused, saturating, small, summed, typed, weighted
from lowbit.backends.c99 import compiler, weights
from lowbit.backends.c99 import kernel as kernel_module
from lowbit.backends.c99.arena import Block, arranged, blocks, in_place
from lowbit.backends.c99.host import Hosted, hosted
from lowbit.backends.c99.kernel import kernels, kernels_of
from lowbit.backends.c99.report import report
from lowbit.backends.c99.schedule import ARENA, scheduled
from lowbit.backends.c99.unit import Unit, unit
from lowbit.backends.c99.variants import AVX2, MACROS, PORTABLE, VNNI_256, VNNI_512
from lowbit.backends.fixed.registry import op_named
from lowbit.backends.target import targets
from programs import Drawn, every_op

STRICT = ("-O0", "-pedantic", "-Wall", "-Wextra", "-Werror")
EXTREME = {
    AVX2: ("gemm_bytes", ("gemm_short", "gemm_sparse")),
    VNNI_256: ("gemm_dots_256", ("gemm_dots_256",)),
    VNNI_512: ("gemm_dots", ("sparse_dots",)),
}
"""What meets all that could saturate, and what meets the cases of `summed`."""
compiles = pytest.mark.skipif(bool(compiler.reason()), reason=compiler.reason())


@pytest.fixture(scope="module")
def cases() -> list[Drawn]:
    """Programs of several steps, steps of every op on its edges, and layers with all that runs in their loops."""
    return [*fused(), *corners(), *saturating(), *small()]


@pytest.fixture(scope="module")
def made(cases: list[Drawn]) -> dict[str, Hosted]:
    """All of them in one library, as they run, and those of several steps as they are looked into."""
    units = [unit(case.program, f"run{i}", variants=(PORTABLE,)) for i, case in enumerate(cases)]
    several = [i for i, case in enumerate(cases) if len(case.program.steps) > 1]
    units += [unit(cases[i].program, f"look{i}", whole=True, variants=(PORTABLE,)) for i in several]
    return {each.unit.name: each for each in hosted(units, STRICT)}


@compiles
def test_every_value_is_the_interpreters(cases: list[Drawn], made: dict[str, Hosted]) -> None:
    for i, case in enumerate(cases):
        expected: dict[int, Any] = {}
        seen: dict[int, Any] = {}
        inputs = [np.asarray(array, np.int64) for array in case.inputs]
        outputs = targets()["interpreter"].run(case.program, inputs, expected.__setitem__)
        assert all(map(np.array_equal, made[f"run{i}"](inputs), outputs)), case
        if f"look{i}" in made:
            made[f"look{i}"].watched(inputs, seen.__setitem__)
            assert list(seen) == [step.output for step in case.program.steps]
            assert all(np.array_equal(seen[value], expected[value]) for value in seen), case


@compiles
def test_weights_in_every_form_compute_the_same_and_smaller_ones_are_smaller() -> None:
    case = weighted()
    units = [unit(case.program, form, variants=(PORTABLE,), weights=form) for form in weights.FORMS]
    expected = targets()["numpy"].run(case.program, case.inputs)
    for made in hosted(units, STRICT):
        assert all(map(np.array_equal, made(case.inputs), expected)), made.unit.name
    plain, packed, coded = (sum(row.weights for row in report(each, PORTABLE)) for each in units)
    assert plain > 2 * packed > 2 * coded


@compiles
@pytest.mark.parametrize("macro", MACROS[1:])
def test_kernels_of_an_instruction_set_compute_the_same(macro: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each has its turn to be taken wherever its proof holds, whatever it costs; one meets all that could saturate."""
    flags = ("-O0", *FLAGS[macro])
    if macro not in compiler.macros(("-march=native",)):
        pytest.skip(f"this machine, or its compiler, does not have {macro}")
    own = {name: kernel for name, kernel in kernels().items() if kernel.when == macro}
    one, small = EXTREME[macro]
    turns = [*zip(fused(), cycle(own), strict=False), *((case, one) for case in (*extreme(), *typed()))]
    turns += [(case, turn) for case in summed() for turn in small]
    cases, units = [case for case, _ in turns], []
    for i, (case, turn) in enumerate(turns):
        preferred = {**kernels(), turn: replace(own[turn], cost=lambda task: -1.0)}
        monkeypatch.setattr(kernel_module, "kernels", lambda preferred=preferred: preferred)
        units.append(unit(case.program, f"run{i}", variants=(macro,)))
    for case, made in zip(cases, hosted(units, flags), strict=True):
        inputs = [np.asarray(array, np.int64) for array in case.inputs]
        assert all(map(np.array_equal, made(inputs), targets()["numpy"].run(case.program, inputs))), case
    used = {function.kernel for each in units for function in each.variants[macro]}
    assert used >= own.keys()


def test_what_lives_at_once_lies_apart_and_results_are_read_before_they_go(cases: list[Drawn]) -> None:
    """An own walk through the tasks: who wrote each byte last, and whether its reader still finds that."""
    for case in cases[:60]:
        walk(unit(case.program, "walked"))
        walk(unit(case.program, "walked", whole=True))


def walk(walked: Unit) -> None:
    for variant, memory in walked.memories.items():
        owner: dict[int, object] = {}
        for number, task in enumerate(walked.schedule.tasks):
            places = {}
            for tensor in (*task.reads, task.output):
                buffer = walked.schedule.buffers[tensor.buffer]
                if buffer.where == ARENA:
                    start = memory.buffers[tensor.buffer]
                    places[tensor.buffer] = range(start, start + buffer.bytes)
                    assert places[tensor.buffer].stop <= memory.arena.size
            for tensor in task.reads:
                assert all(owner[byte] == tensor.buffer for byte in places.get(tensor.buffer, ()))
            scratch = walked.variants[variant][number].body.scratch
            own = range(memory.scratch[number], memory.scratch[number] + scratch)
            assert not any(set(own) & set(place) for place in places.values())
            owner |= dict.fromkeys(own, "scratch") | dict.fromkeys(
                places.get(task.output.buffer, ()), task.output.buffer
            )


def test_in_place_never_takes_memory_that_is_read_otherwise(cases: list[Drawn]) -> None:
    taken = 0
    for case in cases:
        for task in in_place(scheduled(case.program)).tasks:
            same = [tensor for tensor in task.reads if tensor.buffer == task.output.buffer]
            taken += bool(same)
            assert all(tensor.lies(task.output.order) and tensor.shape == task.output.shape for tensor in same)
    assert taken


def test_an_arena_is_as_small_as_what_lives_at_once_where_that_is_easy() -> None:
    chain = [Block(100 + 10 * i, i, i + 1) for i in range(8)]
    arena = arranged(chain)
    assert arena.bound == 330
    assert arena.size <= arena.bound + 16
    for a, b in combinations(range(len(chain)), 2):
        if chain[a].meets(chain[b]):
            starts = sorted((arena.offsets[i], chain[i].size) for i in (a, b))
            assert starts[0][0] + starts[0][1] <= starts[1][0]


def test_every_core_op_has_a_kernel_and_all_of_an_op_agree_on_order() -> None:
    for op in every_op():
        if op_named(op).expand is None and op not in ("reshape", "transpose"):
            assert len({kernel.order for kernel in kernels_of(op).values()}) == 1, op
    assert all(kernel.ops for kernel in kernels().values())


def test_whole_schedules_keep_every_value(cases: list[Drawn]) -> None:
    for case in cases:
        schedule = scheduled(case.program, whole=True)
        assert schedule.values.keys() >= {step.output for step in case.program.steps}
        assert all(block.last == len(schedule.tasks) for block in blocks(schedule).values())
