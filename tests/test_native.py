"""The coders' form in C: the bytes and the integers of the form in Python, whoever compiles it."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import astuple
from pathlib import Path

import numpy as np
import pytest
from codec_edges import EDGES, bell
from hypothesis import given
from hypothesis import strategies as st
from lowbit.backends.codec import Words
from lowbit.backends.codecs import rans
from lowbit.backends.mixing import form, plain
from lowbit.backends.mixing.settings import LITE, MAX, OLDER_LITE, OLDER_MAX, Grid, Settings, first
from lowbit.backends.wire import FileError
from lowbit.compiler.errors import Unsupported
from programs import laws

NATIVE = Path(form.__file__).parent / "native"
COMPILER = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
HARNESS = Path(__file__).parent / "native" / "decode.c"
HARNESS_OF_RANS = Path(__file__).parent / "native" / "decode_rans.c"
ARM = ("arm-none-eabi-gcc", "qemu-system-arm")
STRICT = ["-std=c99", "-pedantic", "-Wall", "-Wextra", "-Werror", "-O1"]

every_level = pytest.mark.parametrize("level", [LITE, MAX, OLDER_LITE, OLDER_MAX])
compiled = pytest.mark.skipif(form.NATIVE is None, reason="the extension was not compiled at installation")
compiles = pytest.mark.skipif(COMPILER is None, reason="there is no C compiler")

shapes = st.tuples(st.integers(1, 5), st.integers(1, 7), st.integers(1, 4), st.integers(1, 3)).map(
    lambda s: s if s[3] > 1 else s[: 2 + (s[2] > 1)]
)
choices = st.tuples(*[st.integers(0, 1)] * 2, *[st.integers(0, 3)] * 2, st.integers(0, 31), st.integers(0, 7))


def drawn(shape: tuple[int, ...], seed: int, reach: int) -> Words:
    """Integers up to 2**reach in size, half of them zero, some rows wholly."""
    chance = np.random.default_rng(seed)
    values = chance.integers(-(2**reach) + 1, 2**reach, shape) * chance.integers(0, 2, shape)
    values[chance.random(shape[0]) < 0.2] = 0
    values.reshape(-1)[0] = 2**reach - 1
    return values.reshape(-1)


def settings_of(values: Words, chosen: tuple[int, ...]) -> Settings:
    signs, rows, rate, memory, share, mean = chosen
    return Settings(signs, rows, rate, memory, first(values, 0).most, share, mean)


@compiled
@every_level
@laws(40)
@given(shape=shapes, seed=st.integers(0, 999), reach=st.integers(1, 25), chosen=choices)
def test_both_forms_write_the_same_bytes(
    level: int, shape: tuple[int, ...], seed: int, reach: int, chosen: tuple[int, ...]
) -> None:
    values, grid = drawn(shape, seed, reach), Grid.of(shape)
    settings = settings_of(values, chosen)
    data = plain.encode(values, level, settings, grid)
    assert form.encode(values, level, settings, grid) == data
    for decode in (form.decode, plain.decode):
        found = np.empty_like(values)
        assert decode(data, level, settings, grid, found)
        assert np.array_equal(found, values)


@compiled
@every_level
@laws(40)
@given(shape=shapes, data=st.binary(max_size=40), most=st.integers(1, 36), chosen=choices)
def test_both_forms_read_any_bytes_alike(
    level: int, shape: tuple[int, ...], data: bytes, most: int, chosen: tuple[int, ...]
) -> None:
    settings, grid = Settings(*chosen[:4], most, *chosen[4:]), Grid.of(shape)
    found, expected = (
        np.empty(grid.rows * grid.columns, dtype=np.int64),
        np.empty(grid.rows * grid.columns, dtype=np.int64),
    )
    whole = form.decode(data, level, settings, grid, found)
    assert plain.decode(data, level, settings, grid, expected) == whole
    assert np.array_equal(found, expected)
    assert not whole or form.encode(found, level, settings, grid) == data


@compiled
@pytest.mark.parametrize("settings", [b"\x80\1\0", b"\0\0\0", b"\0\x25\0", b"\0\1", b""])
def test_the_extension_refuses_what_it_cannot_hold(settings: bytes) -> None:
    values = np.zeros(6, dtype=np.int64)
    with pytest.raises(ValueError, match="not legal"):
        form.NATIVE.decode(b"", LITE, settings, 2, 3, 1, 1, values)
    for sizes in ((2, 4, 1, 1), (2**32 - 1, 2**32 - 1, 1, 1), (6, 0, 1, 1), (2, 3, 0, 1), (2, 3, 2, 1), (2, 3, 1, 0)):
        with pytest.raises(ValueError, match="not legal"):
            form.NATIVE.decode(b"", LITE, b"\0\1\0", *sizes, values)


@compiles
@every_level
@pytest.mark.parametrize(("number", "reach"), [("int8_t", 2), ("int8_t", 7), ("int16_t", 9), ("int32_t", 20)])
def test_the_decoder_alone_is_strict_c99_and_reads_what_python_wrote(
    tmp_path: Path, level: int, number: str, reach: int
) -> None:
    shape = (70, 9, 2, 2) if reach % 2 else (70, 30)
    values, grid = drawn(shape, reach, reach), Grid.of(shape)
    settings = settings_of(values, (1, 1, 1, 1, 20, 2))
    data = plain.encode(values, level, settings, grid)
    built = [str(COMPILER), *STRICT, f"-DCM_INT={number}", f"-I{NATIVE}", str(HARNESS), str(NATIVE / "cm.c")]
    subprocess.run([*built, "-o", str(tmp_path / "decode")], check=True)
    numbers = [level, *settings.write(), *astuple(grid)]
    told = subprocess.run([tmp_path / "decode", *map(str, numbers)], input=data, capture_output=True, check=True).stdout
    assert np.array_equal(np.array(told.split(), dtype=np.int64), values)
    damaged = subprocess.run([tmp_path / "decode", *map(str, numbers)], input=data + b"\0", capture_output=True)
    assert damaged.returncode == 2
    other = data[:-1] + bytes([data[-1] ^ 1])  # most often the same integers, in bytes that no encoder writes
    damaged = subprocess.run([tmp_path / "decode", *map(str, numbers)], input=other, capture_output=True)
    assert (damaged.returncode == 0) == plain.decode(other, level, settings, grid, np.empty_like(values))


@pytest.mark.skipif(not all(map(shutil.which, ARM)), reason=f"one of {', '.join(ARM)} is not there")
def test_the_decoder_reads_the_same_on_a_microcontroller(tmp_path: Path) -> None:
    values, grid = drawn((16, 6, 3, 3), 3, 3), Grid.of((16, 6, 3, 3))
    settings = settings_of(values, (1, 1, 1, 1, 20, 2))
    chip = (
        "-std=c99 -Os -mthumb -mcpu=cortex-m3 --specs=rdimon.specs -Wl,--section-start=.vectors=0 -Wl,-Tdata=0x20000000"
    )
    built = [ARM[0], *chip.split(), "-DCM_INT=int8_t", "-DCM_OLDER=0", "-DCM_LARGE=0", f"-I{NATIVE}"]
    sources = [str(HARNESS), str(HARNESS.parent / "vectors.c"), str(NATIVE / "cm.c")]
    subprocess.run([*built, *sources, "-o", str(tmp_path / "decode.elf")], check=True)
    given = ",".join(f"arg={part}" for part in ["decode", LITE, *settings.write(), *astuple(grid)])
    board = ["-M", "mps2-an385", "-nographic", "-monitor", "none", "-serial", "none", "-kernel"]
    run = [ARM[1], *board, str(tmp_path / "decode.elf"), "-semihosting-config", f"enable=on,target=native,{given}"]
    data = plain.encode(values, LITE, settings, grid)
    told = subprocess.run(run, input=data, capture_output=True, check=True, timeout=60).stdout
    assert np.array_equal(np.array(told.split(), dtype=np.int64), values)


@compiles
def test_the_decoder_refuses_integers_that_do_not_fit(tmp_path: Path) -> None:
    built = [str(COMPILER), *STRICT, "-DCM_INT=int8_t", f"-I{NATIVE}", str(HARNESS), str(NATIVE / "cm.c")]
    subprocess.run([*built, "-o", str(tmp_path / "decode")], check=True)
    for most, code in ((18, 0), (19, 2), (37, 2), (0, 2)):
        numbers = ["3", "0", str(most), "20", "1", "1", "1", "1"]
        done = subprocess.run([tmp_path / "decode", *numbers], input=b"", capture_output=True)
        assert (done.returncode == 2) == (code == 2)


def rans_alike(data: bytes, count: int) -> Words | None:
    """What both forms of rANS read, None if both refuse."""
    found, expected = np.empty(count, dtype=np.int64), np.empty(count, dtype=np.int64)
    whole = form.rans(data, found)
    try:
        rans._decode_plainly(data, expected)
    except FileError:
        assert not whole
        return None
    assert whole
    assert np.array_equal(found, expected)
    return found


@compiled
@pytest.mark.parametrize("edge", EDGES)
def test_both_forms_read_what_rans_wrote(edge: str) -> None:
    values = EDGES[edge].reshape(-1)
    try:
        data = rans.CODEC.encode(values)
    except Unsupported:
        return
    found = rans_alike(data, values.size)
    assert found is not None
    assert np.array_equal(found, values)
    for cut in (data[:-1], data[:-2], data + b"\0\0", data[: len(data) // 2]):
        assert rans_alike(cut, values.size) is None


@compiled
@laws(60)
@given(
    width=st.integers(0, 60), count=st.integers(1, 300), at=st.integers(0, 12), byte=st.integers(0, 255),
    more=st.binary(max_size=40), cut=st.integers(0, 30),
)  # fmt: skip
def test_both_forms_of_rans_read_any_bytes_alike(
    width: int, count: int, at: int, byte: int, more: bytes, cut: int
) -> None:
    data = bytearray(rans.CODEC.encode(bell(count, width, 1000)))
    rans_alike(bytes(data[:cut]) + more, count)
    data[at % len(data)] = byte
    rans_alike(bytes(data), count)


@compiles
@pytest.mark.parametrize("slots", [0, 1])
@pytest.mark.parametrize(("number", "width", "most"), [("int8_t", 2, 7), ("int8_t", 30, 127), ("int32_t", 300, 2**15)])
def test_rans_alone_is_strict_c99_and_reads_what_python_wrote(
    tmp_path: Path, slots: int, number: str, width: int, most: int
) -> None:
    values, even = bell(30_000, width, most), np.arange(-128, 128).repeat(8)  # whose states come to 2**24 on the way
    built = [str(COMPILER), *STRICT, f"-DCM_INT={number}", f"-DRANS_SLOTS={slots}", f"-I{NATIVE}"]
    subprocess.run([*built, str(HARNESS_OF_RANS), str(NATIVE / "rans.c"), "-o", str(tmp_path / "decode")], check=True)
    for integers in (even, values):
        data, told = rans.CODEC.encode(integers), [tmp_path / "decode", str(integers.size)]
        found = subprocess.run(told, input=data, capture_output=True, check=True).stdout
        assert np.array_equal(np.array(found.split(), dtype=np.int64), integers)
    for changed in (data + b"\0\0", data[:-2], rans.CODEC.encode(values + 2**40)):
        assert subprocess.run(told, input=changed, capture_output=True).returncode == 2
