"""Fuzzes the reader of `.lowbit` files and every codec with atheris: whatever the bytes, an answer or a FileError.

    pip install -e '.[fuzz]'
    python benchmarks/file_fuzz.py CORPUS [-max_total_time=600] [other options of libFuzzer]

CORPUS is a folder; the golden files of the tests are put there first. The first byte of an input says what it is for:
a whole file; the body of one whose frame and checksum are made right, so that damage reaches what lies behind; or a
stream of one of the codecs, whose shape the next byte chooses.
"""

from __future__ import annotations

import sys
import zlib
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["lowbit.backends"]):
    from lowbit.backends import blob
    from lowbit.backends.blob import FileError
    from lowbit.backends.blob.layout import MAGIC
    from lowbit.backends.codec import codecs, names_by_code

MOST = 4096
"""The limit of integers that a file may hold here: small, to be fast."""
SHAPES = ((1,), (7,), (64,), (0,), (3, 5), (4, 2, 3, 3), (2, 6, 4), (40, 3))
WHOLE, BODY_1, BODY_2, CODEC = 0, 1, 2, 3
GOLDEN = Path(__file__).parents[1] / "tests" / "golden"


def one_input(data: bytes) -> None:
    """What libFuzzer calls. Raises anything but FileError where there is a bug."""
    if len(data) < 2:
        return
    kind = data[0]
    try:
        if kind in (BODY_1, BODY_2):
            blob.loads(framed(kind, data[1:]), MOST)
        elif kind == WHOLE:
            blob.loads(data[1:], MOST)
        else:
            decoded(kind - CODEC, SHAPES[data[1] % len(SHAPES)], data[2:])
    except FileError:
        return


def framed(version: int, body: bytes) -> bytes:
    """A file with that body, whose outer checksum is right."""
    file = MAGIC + bytes([version, 0]) + body
    return file + zlib.crc32(file).to_bytes(4, "little")


def decoded(code: int, shape: tuple[int, ...], stream: bytes) -> None:
    """The stream by one of the codecs; what is read must have that shape."""
    name = names_by_code()[code % len(names_by_code())]
    assert codecs()[name].decode(stream, shape).shape == shape


def seeds(folder: Path) -> None:
    """The golden files, whole and as bodies."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in GOLDEN.glob("*.blob"):
        data = path.read_bytes()
        (folder / f"{path.stem}-whole").write_bytes(bytes([WHOLE]) + data)
        (folder / f"{path.stem}-body").write_bytes(bytes([data[4]]) + data[6:-4])


if __name__ == "__main__":
    seeds(next(Path(argument) for argument in sys.argv[1:] if not argument.startswith("-")))
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
