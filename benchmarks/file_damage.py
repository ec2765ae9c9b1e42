"""Damage to a `.lowbit` file: every truncation, thousands of random corruptions, and bombs; none may load as another.

    python benchmarks/file_damage.py FILE [--corruptions 10000] [--seed 1]

A corruption flips bits, changes, doubles, drops or zeroes bytes, or moves a piece. Each damaged file must be refused
with a FileError; where the outer checksum is made right again, it may also hold the same constants: the checksum of the
integers is left to find others. "Wrong" counts files that load with other constants, "else" any other exception. Bombs
are a few bytes that stand for more integers than the limit; shown are seconds and memory until they are refused. Exits
with 1 if anything is wrong.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
import tracemalloc
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from lowbit.backends import blob
from lowbit.backends.blob import FileError
from lowbit.backends.blob.layout import CONSTANT, HEADER, MAGIC, VERSION
from lowbit.backends.blob.numbers import Written
from lowbit.backends.fixed.program import Builder, Port
from lowbit.backends.fixed.types import Range
from lowbit.backends.wire import varint

VERDICTS = ("refused", "same", "wrong", "else")


def constants(data: bytes) -> list[bytes]:
    """Shapes and integers of all constants of a file."""
    return [repr(v.data.shape).encode() + v.data.tobytes() for v in blob.loads(data).values if v.data is not None]


def verdict(data: bytes, whole: list[bytes]) -> str:
    """One of VERDICTS."""
    try:
        return "same" if constants(data) == whole else "wrong"
    except FileError:
        return "refused"
    except Exception as error:
        print(f"{type(error).__name__}: {error}: {data.hex()}", file=sys.stderr)
        return "else"


def sealed(data: bytes) -> bytes:
    """The same bytes with the outer checksum made right."""
    return data[:-4] + zlib.crc32(data[:-4]).to_bytes(4, "little")


def _flipped(data: bytearray, chance: random.Random) -> None:
    for _ in range(chance.choice([1, 1, 2, 8])):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)


def _changed(data: bytearray, chance: random.Random) -> None:
    for _ in range(chance.choice([1, 1, 2, 8])):
        data[chance.randrange(len(data))] ^= chance.randrange(1, 256)


def _dropped(data: bytearray, chance: random.Random) -> None:
    start = chance.randrange(len(data))
    del data[start : start + chance.choice([1, 2, 16])]


def _doubled(data: bytearray, chance: random.Random) -> None:
    start = chance.randrange(len(data))
    data[start:start] = data[start : start + chance.choice([1, 2, 16])]


def _zeroed(data: bytearray, chance: random.Random) -> None:
    start = chance.randrange(len(data))
    piece = data[start : start + chance.choice([4, 64, 512])]
    data[start : start + len(piece)] = bytes(len(piece))


def _moved(data: bytearray, chance: random.Random) -> None:
    start, to = chance.randrange(len(data)), chance.randrange(len(data))
    piece = data[start : start + 16]
    del data[start : start + 16]
    data[to:to] = piece


DAMAGE: tuple[Callable[[bytearray, random.Random], None], ...] = (
    _flipped, _changed, _dropped, _doubled, _zeroed, _moved,
)  # fmt: skip


def corrupted(data: bytes, count: int, seed: int) -> Iterator[bytes]:
    """So many damaged copies; one that damage left as it was is drawn again."""
    chance = random.Random(seed)
    for _ in range(count):
        damaged = bytearray(data)
        while bytes(damaged) == data:
            chance.choice(DAMAGE)(damaged, chance)
        yield bytes(damaged)


def counted(title: str, damaged: Iterable[bytes], whole: list[bytes]) -> tuple[str, Counter[str]]:
    """A row of the table, and what it holds."""
    found = Counter(verdict(data, whole) for data in damaged)
    return f"| {title} | {found.total():,} | " + " | ".join(f"{found[name]:,}" for name in VERDICTS) + " |", found


def bombs() -> Iterator[tuple[str, bytes]]:
    """Name -> a file that asks for more than the limit: at once, in many pieces, through an axis that holds nothing."""
    yield "one constant of 2^31 - 1 zeros", bomb([(2**31 - 1,)])
    yield "2,000 constants of 2^20 zeros", bomb([(2**20,)] * 2000)
    yield "2^62 integers on two axes", bomb([(2**31 - 1, 2**31 - 1)])
    yield "2^62 places that hold nothing", bomb([(0, 2**31 - 1, 2**31 - 1)])
    yield "an input of 2^62 integers", wide((2**31 - 1, 2**31 - 1), 0)
    yield "an input that is put behind itself 1,000 times", wide((1,), 1000)


def wide(shape: tuple[int, ...], doublings: int) -> bytes:
    """A legal file: an input of that shape, put behind itself again and again."""
    build = Builder()
    x = value = build.input(shape, Range(0, 1))
    for _ in range(doublings):
        value = build.step("concat", value, value, axis=0)
    return blob.dumps(build.build([Port(x, 2**23, 0)], [Port(value, 2**23, 0)]))


def bomb(shapes: list[tuple[int, ...]]) -> bytes:
    numbers, before = Written(), 0
    numbers.varint(len(shapes), "the number of values")
    for shape in shapes:
        kind = CONSTANT + len(shape)
        numbers.varint(kind, "the kind of a value", before)
        before = kind
        for axis, size in enumerate(shape):
            numbers.varint(size, "a dimension", len(shape), axis)
        numbers.varint(0, "a codec", len(shape))
        numbers.varint(2, "the length of a stream", 0)
    structure = numbers.finish()
    return sealed(MAGIC + bytes([VERSION, 0]) + varint(len(structure)) + structure + bytes(2 * len(shapes) + 8))


def exploded(title: str, data: bytes) -> str:
    """A row: how it was refused. Raises AssertionError if it was not."""
    tracemalloc.start()
    start = time.perf_counter()
    try:
        blob.loads(data)
    except FileError as error:
        said = error.what
    else:
        raise AssertionError(f"{title} was loaded")
    took, (_, most) = time.perf_counter() - start, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return f"| {title} | {len(data):,} | {took:.2f} | {most / 1e6:.1f} | {said} |"


def main() -> int:
    """Damage, count, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--corruptions", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    data = arguments.file.read_bytes()
    whole = constants(data)
    resealed = (sealed(one) for one in corrupted(data, arguments.corruptions, arguments.seed + 1) if len(one) > HEADER)
    print(f"{arguments.file.name}, {len(data):,} bytes\n")
    print("| damage | files | " + " | ".join(VERDICTS) + " |\n| --- " + "| --- " * 5 + "|")
    bad = 0
    for title, damaged in (
        ("truncation", (data[:size] for size in range(len(data)))),
        ("corruption", corrupted(data, arguments.corruptions, arguments.seed)),
        ("corruption, outer checksum made right", resealed),
    ):
        row, found = counted(title, damaged, whole)
        bad += found["wrong"] + found["else"]
        print(row, flush=True)
    print("\n| bomb | bytes | seconds | MB | refused with |\n| --- | --- | --- | --- | --- |")
    for title, data in bombs():
        print(exploded(title, data), flush=True)
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
