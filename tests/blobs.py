"""Small programs whose `.lowbit` files are known byte by byte, and the tools to damage such files."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import pytest
from lowbit.backends import blob
from lowbit.backends.blob import FileError
from lowbit.backends.blob.numbers import Written
from lowbit.backends.fixed.program import Builder, Port, Program
from lowbit.backends.fixed.types import Range
from lowbit.backends.wire import varint

FOLDER = Path(__file__).parent / "golden"
GOLDENS = {"rans": FOLDER / "tiny-v2.blob", None: FOLDER / "tiny-v2-terms.blob"}
"""Coder -> the file that it makes of `tiny`, and that must be read for ever."""
OLD = (FOLDER / "tiny-v1.blob", FOLDER / "tiny-v1-cm.blob", FOLDER / "tiny-v2-cm.blob")
"""The same as it was written before."""
GOLDEN = GOLDENS[None]
INPUT = Port(0, 2**23 + 77, 31, -128)


def tiny() -> Program:
    """A convolution, a rescale and a classifier: every kind of entry and attribute, and every codec."""
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


def body_of(*parts: bytes, check: int = 0) -> bytes:
    """A file of version 1, whose numbers are bytes."""
    return sealed(b"\x89LBT\x01\x00" + b"".join(parts) + check.to_bytes(4, "little") + bytes(4))


def check_hostile(data: bytes) -> Program | None:
    """Bytes with a right checksum are a legal program, whole as any other, or a FileError."""
    try:
        program = blob.loads(data, max_values=10_000)
    except FileError:
        return None
    assert_same(blob.loads(blob.dumps(program)), program)
    return program


def structure_of(*numbers: tuple[int, *tuple[object, ...]]) -> bytes:
    """A file of version 2 with these numbers, each followed by its place, and no streams."""
    written = Written()
    for value, *place in numbers:
        written.varint(value, *place)
    structure = written.finish()
    return sealed(b"\x89LBT\x02\x00" + varint(len(structure)) + structure + bytes(8))
