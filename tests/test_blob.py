"""The `.lowbit` file: the same program back, the same bytes always, and every byte accounted for."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from blobs import GOLDENS, INPUT, OLD, PROGRAMS, assert_same, check_hostile, copying, every_program, sealed, tiny
from hypothesis import given
from hypothesis import strategies as st
from lowbit.backends import blob
from lowbit.backends.blob import writer
from lowbit.backends.blob.numbers import Read, Written
from lowbit.backends.fixed.program import Builder, Port, Program
from lowbit.backends.fixed.types import Range
from lowbit.compiler.errors import Broken, Unsupported, UserError
from programs import Drawn, every_op, laws, programs, steps

LAWS = laws(60)


@every_program
def test_the_same_program_comes_back(name: str) -> None:
    program = PROGRAMS[name]()
    data = blob.dumps(program)
    assert_same(blob.loads(data), program)
    assert blob.dumps(blob.loads(data)) == data
    assert blob.dumps(PROGRAMS[name]()) == data


@laws(60)
@given(drawn=programs(), at=st.integers(0, 2**20), byte=st.integers(0, 255))
def test_drawn_programs_come_back(drawn: Drawn, at: int, byte: int) -> None:
    data = blob.dumps(drawn.program)
    assert_same(blob.loads(data), drawn.program)
    assert blob.dumps(blob.loads(data)) == data
    check_hostile(sealed(data[: (at := at % len(data))] + bytes([byte]) + data[at + 1 :]))


@pytest.mark.parametrize("op", every_op())
def test_every_op_comes_back(op: str) -> None:
    @laws(8)
    @given(drawn=steps(op))
    def law(drawn: Drawn) -> None:
        assert_same(blob.loads(blob.dumps(drawn.program)), drawn.program)

    law()


@LAWS
@given(shapes=st.lists(st.lists(st.integers(0, 4), max_size=4), max_size=5), seed=st.integers(0, 999))
def test_constants_of_any_shape_come_back(shapes: list[list[int]], seed: int) -> None:
    chance, build = np.random.default_rng(seed), Builder()
    x = build.input((1,), Range(0, 0))
    for shape in shapes:
        reach = 1 << int(chance.integers(0, 63))
        build.constant(chance.integers(-reach, reach, tuple(shape)))
    program = build.build([Port(x, 2**23, 0)], [Port(x, 2**23, 0)])
    assert_same(blob.loads(blob.dumps(program)), program)


@pytest.mark.parametrize("coder", GOLDENS)
def test_bytes_of_version_2_never_change(coder: str | None) -> None:
    assert blob.dumps(tiny(), coder) == GOLDENS[coder].read_bytes()
    assert_same(blob.loads(GOLDENS[coder].read_bytes()), tiny())


@pytest.mark.parametrize("old", OLD, ids=lambda path: path.stem)
def test_version_1_is_read_for_ever(old: Path) -> None:
    assert_same(blob.loads(old.read_bytes()), tiny())


@LAWS
@given(st.lists(st.integers(-(2**63), 2**63 - 1) | st.integers(-3, 3), max_size=30))
def test_numbers_of_any_length_come_back(values: list[int]) -> None:
    written = Written()
    for value in (*values, -(2**63), 2**63 - 1):
        written.signed(value, "number")
    read = Read(memoryview(written.finish()), 0, 2**16)
    assert [read.signed("number") for _ in range(len(values) + 2)] == [*values, -(2**63), 2**63 - 1]
    read.finish()


def test_what_was_there_before_costs_next_to_nothing() -> None:
    """The structure of a hundred equal steps, in bytes a step."""
    build = Builder()
    x = build.input((4, 8, 8), Range(0, 100))
    for _ in range(100):
        x = build.step("max_pool2d", x, kernel=(3, 3), stride=(1, 1), padding=(1, 1, 1, 1), dilation=(1, 1))
    parts = {part.what: part.bytes for part in blob.account(blob.dumps(build.build([INPUT], [Port(x, 2**23, 23)])))}
    assert parts["program"] < 100


@every_program
def test_every_byte_is_accounted_for(name: str) -> None:
    data = blob.dumps(PROGRAMS[name]())
    parts = blob.account(data)
    assert sum(part.bytes for part in parts) == len(data)
    assert [part.what for part in parts if not part.values] == ["header", "program", "checksums"]
    assert sum(part.values for part in parts) == sum(v.data.size for v in PROGRAMS[name]().values if v.data is not None)


def codecs_of(program: Program, coder: str | None) -> set[str]:
    return {part.what.split()[-1] for part in blob.account(blob.dumps(program, coder)) if part.values}


@pytest.mark.parametrize(
    ("coder", "used"),
    [(None, "packed gamma cm_max"), ("cm", "packed gamma rans"), ("rans", "packed gamma rans"), ("packed", "packed")],
)
def test_no_codec_above_the_coder_is_used(coder: str | None, used: str) -> None:
    assert codecs_of(tiny(), coder) == set(used.split())


def test_a_coder_that_there_is_not_is_named() -> None:
    with pytest.raises(UserError, match="no coder 'zip'"):
        blob.dumps(tiny(), "zip")


def test_origins_stay_out_of_the_file() -> None:
    program = tiny()
    steps = tuple(dataclasses.replace(step, origin="model.py:41") for step in program.steps)
    assert blob.dumps(dataclasses.replace(program, steps=steps)) == blob.dumps(program)


def test_a_file_says_little_beyond_its_tensors() -> None:
    parts = {part.what: part.bytes for part in blob.account(blob.dumps(tiny()))}
    assert parts["header"] + parts["program"] + parts["checksums"] <= 110


def test_numbers_without_room_are_refused() -> None:
    program = copying()
    for port in (Port(0, 2**23 - 1, 0), Port(0, 2**24, 0), Port(0, 2**23, 256), Port(0, 2**23, 0, 2**31)):
        with pytest.raises(Unsupported):
            blob.dumps(dataclasses.replace(program, outputs=(port,)))


def test_a_program_out_of_order_is_a_bug() -> None:
    program = tiny()
    for broken in ({"steps": program.steps[::-1]}, {"inputs": ()}):
        with pytest.raises(Broken):
            blob.dumps(dataclasses.replace(program, **broken))  # type: ignore[arg-type]


def test_the_smallest_codec_wins() -> None:
    assert writer.smallest(np.zeros(5, dtype=np.int64))[0].code == 0
