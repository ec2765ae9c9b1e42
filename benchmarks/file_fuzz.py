"""Fuzzes the reader of `.lowbit` files and every codec with atheris: whatever the bytes, an answer or a FileError.

    pip install -e '.[dev,fuzz]'
    python benchmarks/file_fuzz.py CORPUS [-max_len=160] [-max_total_time=600] [other options of libFuzzer]

CORPUS is a folder; a program of one step for each op, the golden files of the tests and streams of each codec are put
there first. The first byte of an input, modulo 16, says what it is for: the numbers of a file of version 1 and its
streams, the body of one of version 2, both with checksums that are right, so that damage reaches what lies behind; a
whole file; or a stream of one of the codecs, whose shape the next byte chooses.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Hashable, Iterator
from pathlib import Path

import atheris
import numpy as np

# To tell libFuzzer of branches takes time: arithmetic coding has only those of its bits.
UNTOLD = ["lowbit.backends.mixing", "lowbit.backends.blob.numbers"]
with atheris.instrument_imports(include=["lowbit.backends"], exclude=UNTOLD):
    from lowbit.backends import blob
    from lowbit.backends.blob import FileError, layout, limits, writer
    from lowbit.backends.codec import codecs, names_by_code
    from lowbit.backends.fixed import registry
    from lowbit.backends.fixed.program import Builder, Port, Program
    from lowbit.backends.wire import signed, varint

    names_by_code(), registry.names_by_code()  # imports what is found in folders

TESTS = Path(__file__).parents[1] / "tests"
MOST = 4096
"""The limit of integers that a file may hold here, and below that of numbers: small, to be fast."""
limits.NUMBERS = 256
SHAPES = ((1,), (7,), (64,), (0,), (3, 5), (4, 2, 3, 3), (2, 6, 4), (40, 3))
SPELT, CODED, WHOLE, CODEC = 0, 7, 8, 9
"""First bytes, modulo 16, and those up to the next: most inputs are for what is behind the checksums."""
DIGEST = layout.digest


def one_input(data: bytes) -> None:
    """What libFuzzer calls. Raises anything but FileError where there is a bug."""
    if len(data) < 2:
        return
    kind = data[0] % 16
    try:
        if kind >= CODEC:
            decoded(kind - CODEC, SHAPES[data[1] % len(SHAPES)], data[2:])
        elif kind == WHOLE:
            layout.digest = DIGEST
            blob.loads(data[1:], MOST)
        else:
            layout.digest = no_digest
            blob.loads(framed(1 + kind // CODED, data[1:]), MOST)
    except FileError:
        return


def framed(version: int, body: bytes) -> bytes:
    """A file with that body, whose outer checksum is right, and whose inner one is if `no_digest` makes it."""
    file = layout.MAGIC + bytes([version, 0]) + body + bytes(4)
    return file + zlib.crc32(file).to_bytes(4, "little")


def no_digest(values: object, before: int = 0) -> int:
    """The checksum of any integers in a file that `framed` made: as if whoever damaged it had computed it anew."""
    return 0


def decoded(code: int, shape: tuple[int, ...], stream: bytes) -> None:
    """The stream by one of the codecs; what is read must have that shape."""
    assert codecs()[names_by_code()[code]].decode(stream, shape).shape == shape


class Spelling(bytearray):
    """A program as version 1 spells it: numbers and streams in one row of bytes. `append` takes a stream."""

    def varint(self, value: int, *place: Hashable) -> None:
        self += value.to_bytes(3, "little") if place == ("a multiplier",) else varint(value)

    def signed(self, value: int, *place: Hashable) -> None:
        self += signed(value)

    append = bytearray.extend  # type: ignore[assignment]


def spelt(program: Program) -> bytes:
    """The body of a program's file of version 1."""
    out = Spelling()
    out.varint(len(program.values))
    writer._entries(program, None, out, out)  # type: ignore[arg-type]
    for port in program.inputs:
        writer._grid(port, out)  # type: ignore[arg-type]
    out.varint(len(program.outputs))
    for port in program.outputs:
        out.varint(port.value)
        writer._grid(port, out)  # type: ignore[arg-type]
    return bytes(out)


def steps() -> Iterator[tuple[str, Program]]:
    """A program of each op: the legal step that the tests of its constraints begin with."""
    sys.path.insert(0, str(TESTS))
    from op_evidence import EVIDENCE

    for name, evidence in EVIDENCE.items():
        build, step = Builder(), evidence.base
        given = [
            build.input(one.shape, one.range) if one.data is None else build.constant(one.data)
            for one in step.operands.values()
        ]
        output = build.step(name, *given, **step.attributes)
        ports = [Port(i, 2**23, 30, 1) for i in given if build[i].data is None]
        yield name, build.build(ports, [Port(output, 2**23 + 1, 20)])


def seeds(folder: Path) -> None:
    """Small inputs of each kind."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, program in steps():
        whole = blob.dumps(program)
        (folder / f"{name}-spelt").write_bytes(bytes([SPELT]) + spelt(program))
        (folder / f"{name}-coded").write_bytes(bytes([CODED]) + whole[layout.HEADER : -layout.TRAILER])
        (folder / f"{name}-whole").write_bytes(bytes([WHOLE]) + whole)
    for path in (TESTS / "golden").glob("*.blob"):
        data = path.read_bytes()
        kind = (SPELT, CODED)[data[4] - 1]
        (folder / f"{path.stem}-body").write_bytes(bytes([kind]) + data[layout.HEADER : -layout.TRAILER])
    chance = np.random.default_rng(1)
    for code, name in names_by_code().items():
        for at, shape in enumerate(SHAPES):
            values = chance.integers(-3, 4, shape)
            if values.size > 1 and codecs()[name].written:
                stream = codecs()[name].encode(values)
                (folder / f"{name}-{at}").write_bytes(bytes([CODEC + code, at]) + stream)


if __name__ == "__main__":
    seeds(next(Path(argument) for argument in sys.argv[1:] if not argument.startswith("-")))
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
