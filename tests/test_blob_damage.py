"""Bad `.lowbit` files, damaged or hostile: each is a FileError or a legal program, and never a surprise."""

from __future__ import annotations

import importlib
import random
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from blobs import GOLDEN, PROGRAMS, body_of, check_hostile, copying, every_program, sealed, structure_of, tiny
from hypothesis import given
from hypothesis import strategies as st
from lowbit.backends import blob
from lowbit.backends.blob import FileError, limits, numbers
from lowbit.backends.fixed.program import Builder, Port
from lowbit.backends.fixed.types import Range
from programs import laws

LAWS = laws(60)


@every_program
def test_every_truncation_is_an_error(name: str) -> None:
    data = blob.dumps(PROGRAMS[name]())
    for size in range(len(data)):
        for cut in (data[:size], sealed(data[:size]) if size >= 14 else b""):
            with pytest.raises(FileError):
                blob.loads(cut)


@every_program
def test_bytes_after_the_end_are_an_error(name: str) -> None:
    data = blob.dumps(PROGRAMS[name]())
    for longer in (data + b"\0", sealed(data + bytes(4)), sealed(data[:-8] + b"\0" + data[-8:]), data + data):
        with pytest.raises(FileError):
            blob.loads(longer)


def test_every_flipped_bit_is_an_error() -> None:
    data = GOLDEN.read_bytes()
    for at in range(8 * len(data)):
        changed = bytearray(data)
        changed[at // 8] ^= 1 << at % 8
        with pytest.raises(FileError):
            blob.loads(bytes(changed))


def test_damage_behind_the_checksum_never_changes_a_constant() -> None:
    data, chance = GOLDEN.read_bytes(), random.Random(11)
    whole = [v.data for v in tiny().values if v.data is not None]
    for _ in range(250):
        changed = bytearray(data)
        changed[chance.randrange(6, len(data) - 8)] = chance.randrange(256)
        if program := check_hostile(sealed(bytes(changed))):
            found = [v.data for v in program.values if v.data is not None]
            assert b"".join(map(np.ndarray.tobytes, found)) == b"".join(map(np.ndarray.tobytes, whole))


def test_the_benchmark_of_damage_tells_wrong_from_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "benchmarks")
    damage = importlib.import_module("file_damage")
    data, whole = GOLDEN.read_bytes(), damage.constants(GOLDEN.read_bytes())
    _, found = damage.counted("", damage.corrupted(data, 120, 3), whole)
    assert found == {"refused": 120}
    assert len({damage.sealed(one) for one in damage.corrupted(data, 120, 3)}) > 110
    verdicts = [damage.verdict(one, whole) for one in (data, data[:-1], blob.dumps(copying()))]
    assert verdicts == ["same", "refused", "wrong"]
    monkeypatch.setattr(blob, "loads", lambda data: 1 // 0)
    assert damage.verdict(data, whole) == "else"


@pytest.mark.parametrize("shapes", [[(2**31 - 1,)], [(50,)] * 9, [(2**31 - 1,) * 2], [(0, 2**31 - 1, 2**31 - 1)]])
def test_a_bomb_stops_at_the_cap(shapes: list[tuple[int, ...]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "benchmarks")
    data = importlib.import_module("file_damage").bomb(shapes)
    tracemalloc.start()
    with pytest.raises(FileError, match="the limit leaves"):
        blob.loads(data, max_values=100)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 10**5


def test_an_input_and_what_steps_make_of_it_stop_at_the_cap() -> None:
    build = Builder()
    x = build.input((2, 30), Range(0, 1))
    y = build.step("concat", x, x, axis=1)
    data = blob.dumps(build.build([Port(x, 2**23, 0)], [Port(y, 2**23, 0)]))
    blob.loads(data, max_values=120)
    with pytest.raises(FileError, match="step 1 concat holds 120 integers a sample, and the limit is 119"):
        blob.loads(data, max_values=119)
    with pytest.raises(FileError, match="input 0 holds 60 integers a sample, and the limit is 59"):
        blob.loads(data, max_values=59)


def test_a_value_that_doubles_without_end_is_refused_before_its_size_is_long() -> None:
    build = Builder()
    x = y = build.input((1,), Range(0, 1))
    for _ in range(200):
        y = build.step("concat", y, y, axis=0)
    data = blob.dumps(build.build([Port(x, 2**23, 0)], [Port(y, 2**23, 0)]))
    assert len(data) < 200
    with pytest.raises(FileError, match="step 29 concat holds 536870912 integers"):
        blob.loads(data)


def test_a_constant_that_many_steps_read_stops_at_the_cap() -> None:
    build = Builder()
    x = build.input((10,), Range(0, 1))
    weight, bias = build.constant(np.ones((10, 10), np.int64)), build.constant(np.zeros(10, np.int64))
    for _ in range(40):
        y = build.step("linear", x, weight, bias)
    data = blob.dumps(build.build([Port(x, 2**23, 0)], [Port(y, 2**23, 0)]))
    blob.loads(data, max_values=40 * 110 // 16)
    with pytest.raises(FileError, match="step 42 linear reads constants that were read too often"):
        blob.loads(data, max_values=40 * 110 // 16 - 1)


def test_a_structure_has_no_more_numbers_than_the_cap_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers_of_copying, data = 6 + 3 + 1 + 8, blob.dumps(copying())
    monkeypatch.setattr(limits, "NUMBERS", numbers_of_copying - 1)
    blob.loads(data, max_values=limits.SHARE)
    with pytest.raises(FileError, match="more numbers than its bytes can, or than the limit allows"):
        blob.loads(data, max_values=limits.SHARE - 1)


def test_spliced_and_shuffled_bytes_are_an_error_or_a_program() -> None:
    data, chance = GOLDEN.read_bytes(), random.Random(12)
    for _ in range(250):
        start, end, to = (chance.randrange(6, len(data) - 8) for _ in range(3))
        check_hostile(sealed(data[:to] + data[min(start, end) : max(start, end)] + data[to:]))
        check_hostile(sealed(data[: min(start, end)] + data[max(start, end) :]))


@LAWS
@given(body=st.binary(max_size=80))
def test_any_body_is_an_error_or_a_program(body: bytes) -> None:
    for version in (1, 2):
        check_hostile(sealed(b"\x89LBT" + bytes([version, 0]) + body + bytes(8)))


@pytest.mark.parametrize(
    ("at", "byte", "says"),
    [(0, 0x88, "not a lowbit file"), (4, 3, "version 3"), (5, 1, "unknown features"), (9, 0, "damaged")],
)
def test_the_frame_says_what_is_wrong(at: int, byte: int, says: str) -> None:
    changed = bytearray(GOLDEN.read_bytes())
    changed[at] = byte
    with pytest.raises(FileError, match=says):
        blob.loads(bytes(changed))


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"\x01\x02\xff\xff\xff\xff\x07\x00\x02\x00\x00", r"limit leaves 100"),  # 2**31 - 1 zeros in 2 bytes
        (b"\x02\x02\x50\x00\x02\x00\x00\x02\x50\x00\x02\x00\x00", r"limit leaves 20"),  # 80 and 80
        (
            b"\x01\x04\x00\xff\xff\xff\xff\x07\xff\xff\xff\xff\x07\x00\x02\x00\x00",
            r"limit leaves 100",
        ),  # nothing, widely
        (b"\x01\x02\x01\x09\x02\x00\x00", "codec 9 is unknown"),
        (b"\x01\x7f", "op 111 is unknown"),
        (b"\x01\x80\x00", "needless zero byte"),
        (b"\x01\x02\x81\x80\x80\x80\x08", "a dimension is 2147483649"),
        (b"\x01\x00\x01\x01\x02\x00" + bytes(6), "input 0 is not legal"),  # the range [1, 0]
        (b"\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x05", "a reference|a port|bytes should follow|not legal"),
    ],
)
def test_hostile_bodies_are_named(body: bytes, says: str) -> None:
    with pytest.raises(FileError, match=says):
        blob.loads(body_of(body), max_values=100)


VALUES, KIND = (1, "the number of values"), "the kind of a value"


@pytest.mark.parametrize(
    ("placed", "says"),
    [
        ([VALUES, (2, KIND, 0), (2**31, "a dimension", 1, 0)], "a dimension is 2147483648"),
        ([VALUES, (2, KIND, 0), (101, "a dimension", 1, 0)], "limit leaves 100"),
        ([VALUES, (2, KIND, 0), (1, "a dimension", 1, 0), (9, "a codec", 1)], "codec 9 is unknown"),
        (
            [VALUES, (2, KIND, 0), (1, "a dimension", 1, 0), (0, "a codec", 1), (1, "the length of a stream", 0)],
            "follow",
        ),
        ([VALUES, (127, KIND, 0)], "op 111 is unknown"),
        ([VALUES, (0, KIND, 0), (15, "the rank of an input")], "the rank of an input is 15"),
        ([VALUES, (16 + 9, KIND, 0), (0, "reshape.x")], "is 0, more than -1|unknown|reshape"),
    ],
)
def test_hostile_structures_are_named(placed: list[tuple[int, *tuple[object, ...]]], says: str) -> None:
    with pytest.raises(FileError, match=says):
        blob.loads(structure_of(*placed), max_values=100)


def test_a_structure_ends_where_its_numbers_do() -> None:
    data = blob.dumps(copying())
    size = data[6]
    longer = data[:6] + bytes([size + 1]) + data[7 : 7 + size] + b"\x07" + data[7 + size :]
    with pytest.raises(FileError, match="does not end where its numbers do"):
        blob.loads(sealed(longer))


def test_a_structure_has_no_more_numbers_than_bytes_can_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    blob.loads(GOLDEN.read_bytes())
    monkeypatch.setattr(numbers, "PER_BYTE", 0)
    with pytest.raises(FileError, match="more numbers than its bytes can"):
        blob.loads(blob.dumps(copying()))


def test_the_cap_counts_what_a_file_decodes_to() -> None:
    size = sum(v.data.size for v in tiny().values if v.data is not None)
    blob.loads(GOLDEN.read_bytes(), max_values=size)
    with pytest.raises(FileError, match="max_values"):
        blob.loads(GOLDEN.read_bytes(), max_values=size - 1)
