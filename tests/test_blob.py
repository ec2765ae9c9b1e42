"""The `.lowbit` file: the same program back, the same bytes always, and nothing but FileError from bad ones."""

from __future__ import annotations

import dataclasses
import os
import random
import zlib
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lowbit.backends import blob
from lowbit.backends.blob import FileError, writer
from lowbit.backends.fixed.program import Builder, Port, Program
from lowbit.backends.fixed.types import Range
from lowbit.compiler.errors import Broken, Unsupported, UserError
from programs import Drawn, every_op, laws, programs, steps

GOLDEN = Path(__file__).parent / "golden" / "tiny-v1.blob"
LAWS = laws(60)
INPUT = Port(0, 2**23 + 77, 31, -128)


def tiny() -> Program:
    """A convolution, a rescale, a residual and a classifier: every kind of entry, attribute and codec."""
    chance, build = np.random.default_rng(7), Builder()
    x = build.input((2, 6, 6), Range(-128, 127))
    weight = build.constant(chance.choice([-2, -1, 0, 0, 0, 0, 1, 3], (2, 2, 3, 3)))
    window = {"stride": (1, 1), "padding": (1, 1, 1, 1), "dilation": (1, 1), "groups": 1, "pad_value": -128}
    y = build.step("conv2d", x, weight, build.constant(np.array([-300, 41_000])), **window)
    scale = build.constant(np.array([2**23 + 5, 2**24 - 1])), build.constant(np.array([31, 33]))
    y = build.step("rescale", y, *scale, zero=-3, lo=-128, hi=127, axis=0)
    y = build.step("reshape", y, shape=(72,))
    rows = build.constant(np.where(chance.random((40, 72)) < 0.9, 0, chance.integers(-7, 8, (40, 72))))
    y = build.step("linear", y, rows, build.constant(chance.integers(-99, 99, 40)))
    return build.build([INPUT], [Port(y, 2**24 - 1, 40)])


def copying(size: int = 3) -> Program:
    """An input straight to two outputs."""
    build = Builder()
    x = build.input((size,), Range(0, 255))
    return build.build([Port(x, 2**23, 23)], [Port(x, 2**23, 23), Port(x, 2**23, -100, 2**31 - 1)])


PROGRAMS = {"tiny": tiny, "copying": copying}
every_program = pytest.mark.parametrize("name", PROGRAMS)


def sealed(data: bytes) -> bytes:
    """The same bytes with the file's own checksum made right, so that damage reaches the reader behind it."""
    return data[:-4] + zlib.crc32(data[:-4]).to_bytes(4, "little")


def assert_same(one: Program, other: Program) -> None:
    assert (one.steps, one.inputs, one.outputs) == (other.steps, other.inputs, other.outputs)
    assert len(one.values) == len(other.values)
    for a, b in zip(one.values, other.values, strict=True):
        assert (a.shape, a.range, a.data is None) == (b.shape, b.range, b.data is None)
        assert a.data is None or np.array_equal(a.data, b.data)


@every_program
def test_the_same_program_comes_back(name: str) -> None:
    program = PROGRAMS[name]()
    data = blob.dumps(program)
    assert_same(blob.loads(data), program)
    assert blob.dumps(blob.loads(data)) == data
    assert blob.dumps(PROGRAMS[name]()) == data


@laws(100)
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


def test_bytes_of_version_1_never_change() -> None:
    assert blob.dumps(tiny()) == GOLDEN.read_bytes()
    assert_same(blob.loads(GOLDEN.read_bytes()), tiny())


@every_program
def test_every_byte_is_accounted_for(name: str) -> None:
    data = blob.dumps(PROGRAMS[name]())
    parts = blob.account(data)
    assert sum(part.bytes for part in parts) == len(data)
    assert [part.what for part in parts if not part.values] == ["header", "program", "checksums"]
    assert sum(part.values for part in parts) == sum(v.data.size for v in PROGRAMS[name]().values if v.data is not None)


def test_all_codecs_are_used() -> None:
    assert {part.what.split()[-1] for part in blob.account(blob.dumps(tiny()))} > {"packed", "gamma", "rans"}


def test_origins_stay_out_of_the_file() -> None:
    program = tiny()
    steps = tuple(dataclasses.replace(step, origin="model.py:41") for step in program.steps)
    assert blob.dumps(dataclasses.replace(program, steps=steps)) == blob.dumps(program)


def test_a_file_says_little_beyond_its_tensors() -> None:
    parts = {part.what: part.bytes for part in blob.account(blob.dumps(tiny()))}
    assert parts["header"] + parts["program"] + parts["checksums"] <= 110


# Bad bytes.


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


def check_hostile(data: bytes) -> Program | None:
    """Bytes with a right checksum are a legal program, whole as any other, or a FileError."""
    try:
        program = blob.loads(data, max_values=10_000)
    except FileError:
        return None
    assert_same(blob.loads(blob.dumps(program)), program)
    return program


def test_damage_behind_the_checksum_never_changes_a_constant() -> None:
    data, chance = GOLDEN.read_bytes(), random.Random(11)
    whole = [v.data for v in tiny().values if v.data is not None]
    for _ in range(1500):
        changed = bytearray(data)
        changed[chance.randrange(6, len(data) - 8)] = chance.randrange(256)
        if program := check_hostile(sealed(bytes(changed))):
            found = [v.data for v in program.values if v.data is not None]
            assert b"".join(map(np.ndarray.tobytes, found)) == b"".join(map(np.ndarray.tobytes, whole))


def test_spliced_and_shuffled_bytes_are_an_error_or_a_program() -> None:
    data, chance = GOLDEN.read_bytes(), random.Random(12)
    for _ in range(1000):
        start, end, to = (chance.randrange(6, len(data) - 8) for _ in range(3))
        check_hostile(sealed(data[:to] + data[min(start, end) : max(start, end)] + data[to:]))
        check_hostile(sealed(data[: min(start, end)] + data[max(start, end) :]))


@LAWS
@given(body=st.binary(max_size=80))
def test_any_body_is_an_error_or_a_program(body: bytes) -> None:
    check_hostile(sealed(b"\x89LBT\x01\x00" + body + bytes(8)))


@pytest.mark.parametrize(
    ("at", "byte", "says"),
    [(0, 0x88, "not a lowbit file"), (4, 2, "version 2"), (5, 1, "unknown features"), (9, 0, "damaged")],
)
def test_the_frame_says_what_is_wrong(at: int, byte: int, says: str) -> None:
    changed = bytearray(GOLDEN.read_bytes())
    changed[at] = byte
    with pytest.raises(FileError, match=says):
        blob.loads(bytes(changed))


def body_of(*parts: bytes, check: int = 0) -> bytes:
    return sealed(b"\x89LBT\x01\x00" + b"".join(parts) + check.to_bytes(4, "little") + bytes(4))


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
        (b"\x01\x00\x01\x01\x02\x00", "input 0 is not legal"),  # the range [1, 0]
        (b"\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x05", "a reference|a port|bytes should follow|not legal"),
    ],
)
def test_hostile_bodies_are_named(body: bytes, says: str) -> None:
    with pytest.raises(FileError, match=says):
        blob.loads(body_of(body), max_values=100)


def test_the_cap_counts_what_a_file_decodes_to() -> None:
    size = sum(v.data.size for v in tiny().values if v.data is not None)
    blob.loads(GOLDEN.read_bytes(), max_values=size)
    with pytest.raises(FileError, match="max_values"):
        blob.loads(GOLDEN.read_bytes(), max_values=size - 1)


# What cannot be written.


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


# Files.


def test_save_and_load(tmp_path: Path) -> None:
    path = tmp_path / "net.lowbit"
    assert blob.save(tiny(), path) == len(GOLDEN.read_bytes())
    assert path.read_bytes() == GOLDEN.read_bytes()
    assert_same(blob.load(path), tiny())
    assert os.listdir(tmp_path) == ["net.lowbit"]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    blob.save(tiny(), tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == GOLDEN.read_bytes()


@pytest.mark.parametrize(("step", "error"), [("fsync", OSError), ("replace", OSError), ("fsync", KeyboardInterrupt)])
def test_what_was_there_stays_when_saving_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, error: type[BaseException]
) -> None:
    def fail(*_: object) -> NoReturn:
        raise error(28, "No space left on device")

    path = tmp_path / "net.lowbit"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, step, fail)
    with pytest.raises(UserError if error is OSError else error, match=r"cannot be written|No space"):
        blob.save(tiny(), path)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["net.lowbit"]


def test_a_draft_never_stands_under_the_final_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bool] = []
    monkeypatch.setattr(os, "fsync", lambda _: seen.append((tmp_path / "net.lowbit").exists()))
    blob.save(tiny(), tmp_path / "net.lowbit")
    assert seen == [False]


@pytest.mark.parametrize("where", ["missing/net.lowbit", "file/net.lowbit", ".", "a\0b", "n" * 300])
def test_a_path_that_cannot_be_written_is_the_users_error(tmp_path: Path, where: str) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UserError, match="cannot be written") as caught:
        blob.save(tiny(), tmp_path / where)
    assert str(tmp_path) in str(caught.value)
    assert os.listdir(tmp_path) == ["file"]


def test_a_device_is_never_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserError, match="cannot be written"):
        blob.save(tiny(), tmp_path / "pipe")
    assert (tmp_path / "pipe").is_fifo()


def test_a_constant_beyond_memory_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> NoReturn:
        raise MemoryError

    monkeypatch.setattr(np, "full", full)
    with pytest.raises(FileError, match="does not fit in memory"):
        blob.loads(body_of(b"\x01\x02\x05\x00\x02\x00\x00"))


def test_errors_name_the_path_and_the_byte(tmp_path: Path) -> None:
    path = tmp_path / "net.lowbit"
    for unreadable in (path, tmp_path, "a\0b"):
        with pytest.raises(FileError, match="cannot be read"):
            blob.load(unreadable)
    path.write_bytes(body_of(b"\x01\x7f"))
    with pytest.raises(FileError) as caught:
        blob.load(path)
    assert caught.value.where == f"{path}, byte 7"


def test_an_error_inside_a_stream_is_told_from_the_start_of_the_file() -> None:
    with pytest.raises(FileError, match="more than 64") as caught:
        blob.loads(body_of(b"\x01\x02\x01\x00\x02\x41\x00"))
    assert caught.value.offset == 11


def test_a_file_longer_than_any_legal_one_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blob.files, "_PROGRAM", 100)
    (tmp_path / "long").write_bytes(bytes(111))
    with pytest.raises(FileError, match="too long"):
        blob.load(tmp_path / "long", max_values=1)


def test_the_smallest_codec_wins() -> None:
    assert writer.smallest(np.zeros(5, dtype=np.int64))[0].code == 0
