"""Reads the bytes of a `.lowbit` file back into a program, trusting nothing: every step is verified as it is read."""

from __future__ import annotations

import contextlib
import math
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from .. import codec
from ..codec import Words
from ..fixed import registry
from ..fixed.op import Attribute, Legal
from ..fixed.program import Builder, Port, Program
from ..fixed.types import Range
from ..mixing.form import each
from ..wire import Cursor, FileError
from . import layout
from .limits import MAX_VALUES, Limits
from .numbers import Read, Spelt

_UPDATE = "update lowbit"


@dataclass(frozen=True)
class Entry:
    """A part of a file: what it is, its bytes, and how many integers they stand for (0 unless it is a tensor)."""

    what: str
    bytes: int
    values: int = 0


def loads(data: bytes, max_values: int = MAX_VALUES) -> Program:
    """The program in `data`.

    max_values: the most integers that its constants may hold together, checked before memory is taken for them; and
    one sample of any other value. What else hostile bytes can make large is limited in proportion, see `limits.py`.
    Raises FileError for bytes that are not one whole, undamaged, legal file.
    """
    return _Reader(data, max_values).program


def account(data: bytes, max_values: int = MAX_VALUES) -> list[Entry]:
    """What every byte of a file is for; the sizes sum to the length of `data`. Raises FileError as `loads` does."""
    streams = _Reader(data, max_values).streams
    program = len(data) - layout.HEADER - layout.TRAILER - sum(entry.bytes for entry in streams)
    ends = Entry("header", layout.HEADER), Entry("program", program)
    return [*ends, *streams, Entry("checksums", layout.TRAILER)]


@dataclass(frozen=True)
class _Stream:
    """A constant as the structure tells of it.   index: of its value.   end: where its bytes end in the file."""

    index: int
    shape: tuple[int, ...]
    name: str
    data: memoryview
    end: int

    def decode(self) -> Words:
        """Its integers."""
        try:
            return codec.codecs()[self.name].decode(self.data, self.shape)
        except FileError as error:
            raise error.placed(base=self.end - len(self.data)) from None
        except MemoryError:
            what = f"a constant of shape {self.shape} does not fit in memory"
            raise FileError(what, fix="lower max_values") from None


class _Reader:
    """One pass over the bytes, front to back; no byte is skipped. Then streams are decoded, and the program is built.

    In this order streams can be decoded at once, and a file that asks for too much has cost nothing when it is refused.
    What follows a constant is built while those behind it are decoded.
    """

    def __init__(self, data: bytes, max_values: int) -> None:
        _check_frame(data)
        self._streams = Cursor(memoryview(data)[: -layout.TRAILER])
        self._streams.take(layout.HEADER)
        self._limits = Limits(max_values)
        self._numbers = _numbers(data[4], self._streams, self._limits.numbers)
        self._builder = Builder()
        self._sizes: dict[int, int] = {}
        self._inputs: list[int] = []
        self._constants: list[_Stream] = []
        self._decoded: dict[int, Words] = {}
        self._building: list[list[Callable[[], object]]] = [[]]  # before the first constant, behind it, ...
        before = layout.INPUT
        for index in range(self._numbers.varint("the number of values")):
            before = self._entry(index, before)
        ports = self._ports()
        self._numbers.finish()
        self._streams.finish()
        self._decode(int.from_bytes(data[-8:-4], "little"), len(data) - 8)
        with _legal("the program", self._numbers.offset):
            self.program = self._builder.build(*ports)

    @property
    def streams(self) -> list[Entry]:
        """What each constant's bytes are for."""
        return [
            Entry(f"constant {one.index} {one.shape} {one.name}", len(one.data), math.prod(one.shape))
            for one in self._constants
        ]

    def _decode(self, expected: int, offset: int) -> None:
        """Decode all constants, build, and compare the checksum, which is made of each while others are decoded."""
        sizes, digest = [math.prod(one.shape) for one in self._constants], 0
        first, *behind = self._building
        for build in first:
            build()
        for at, values in enumerate(each(lambda at: self._constants[at].decode(), sizes)):
            self._decoded[at] = values
            digest = layout.digest(values, digest)
            for build in behind[at]:
                build()
        if digest != expected:
            raise FileError("the decoded integers do not match their checksum", offset=offset)

    def _ports(self) -> tuple[list[Port], list[Port]]:
        inputs = [self._port(value) for value in self._inputs]
        size = self._numbers.varint("the number of outputs", most=self._numbers.left)
        return inputs, [self._port(self._numbers.varint("the value of a port")) for _ in range(size)]

    def _entry(self, index: int, before: int) -> int:
        start = self._numbers.offset
        kind = self._numbers.varint("the kind of a value", before)
        if kind == layout.INPUT:
            self._input(index)
        elif kind < layout.STEP:
            self._constant(index, kind - layout.CONSTANT)
        else:
            self._step(index, kind - layout.STEP, start)
        return kind

    def _input(self, index: int) -> None:
        shape = self._shape(self._numbers.varint("the rank of an input", most=layout.RANKS - 1))
        start = self._numbers.offset
        lo, hi = self._numbers.signed("the least input"), self._numbers.signed("the greatest input")
        self._inputs.append(index)
        self._build(f"input {index}", start, lambda: self._builder.input(shape, Range(lo, hi)))

    def _constant(self, index: int, rank: int) -> None:
        shape = self._shape(rank)
        self._sizes[index] = self._limits.reserve(shape, self._numbers.offset)
        code = self._numbers.varint("a codec", rank)
        name = self._codec(code)
        stream = self._streams.take(self._numbers.varint("the length of a stream", code))
        at = len(self._constants)
        self._constants.append(_Stream(index, shape, name, stream, self._streams.offset))
        self._building.append([])
        self._build(f"constant {index}", self._streams.offset, lambda: self._builder.adopt(self._decoded.pop(at)))

    def _build(self, what: str, offset: int, build: Callable[[], int]) -> None:
        """Note what is to be added to the program once all is decoded. `build` returns its index."""

        def checked() -> None:
            with _legal(what, offset):
                index = build()
            self._limits.hold(what, self._builder[index].shape, offset)

        self._building[-1].append(checked)

    def _shape(self, rank: int) -> tuple[int, ...]:
        axes = range(rank)
        return tuple(self._numbers.varint("a dimension", rank, axis, most=layout.DIMENSION) for axis in axes)

    def _codec(self, code: int) -> str:
        if code not in codec.names_by_code():
            raise FileError(f"codec {code} is unknown", offset=self._numbers.offset, fix=_UPDATE)
        return codec.names_by_code()[code]

    def _step(self, index: int, code: int, start: int) -> None:
        if code not in registry.names_by_code():
            raise FileError(f"op {code} is unknown", offset=start, fix=_UPDATE)
        name = registry.names_by_code()[code]
        op = registry.op_named(name)
        if op.expand is not None:
            raise FileError(f"op '{name}' should have been written as its expansion", offset=start)
        inputs = [index - 1 - self._numbers.varint(f"{name}.{one}", most=index - 1) for one in op.inputs]
        attributes: dict[str, Any] = {
            key: self._attribute(f"{name}.{key}", op.attributes[key]) for key in sorted(op.attributes)
        }
        what = f"step {index} {name}"
        self._limits.read(what, sum(self._sizes.get(one, 0) for one in inputs), start)
        self._build(what, start, lambda: self._builder.step(name, *inputs, **attributes))

    def _attribute(self, what: str, legal: Legal) -> Attribute:
        if legal.length is None:
            return self._numbers.signed(what)
        length = legal.length or self._numbers.varint(f"the length of {what}", most=self._numbers.left)
        values: list[int] = []
        for _ in range(length):
            values.append(self._numbers.signed(what, values[-1] if values else None))
        return tuple(values)

    def _port(self, value: int) -> Port:
        multiplier = layout.MULTIPLIER + self._numbers.multiplier("a multiplier")
        port = Port(value, multiplier, self._numbers.signed("a shift"), self._numbers.signed("a zero point"))
        with _legal("a port", self._numbers.offset):
            layout.check_port(port)
        return port


def _numbers(version: int, cursor: Cursor, most: int) -> Read | Spelt:
    """The numbers of a file's structure, at most so many; in version 1 they stand, in bytes, between the streams."""
    if version == 1:
        return Spelt(cursor)
    size = cursor.varint("the length of the structure")
    return Read(cursor.take(size), cursor.offset - size, most)


@contextlib.contextmanager
def _legal(what: str, offset: int) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        # Not LowbitError alone: an op's rules meet shapes and ranges here that no lowering would make.
        raise FileError(f"{what} is not legal", offset=offset, why=str(error) or type(error).__name__) from None


def _check_frame(data: bytes) -> None:
    if data[:4] != layout.MAGIC:
        why = f"it begins with {bytes(data[:4]).hex(' ')}" if data else "it is empty"
        raise FileError("this is not a lowbit file", offset=0, why=why)
    if len(data) < layout.HEADER + layout.TRAILER:
        raise FileError("the file is cut short", offset=len(data))
    if not 1 <= data[4] <= layout.VERSION:
        raise FileError(f"format version {data[4]} is unknown, 1 to {layout.VERSION} are", offset=4, fix=_UPDATE)
    if data[5] & ~layout.FEATURES:
        raise FileError(f"the file needs unknown features {data[5]:#010b}", offset=5, fix=_UPDATE)
    if zlib.crc32(memoryview(data)[:-4]) != int.from_bytes(data[-4:], "little"):
        raise FileError("the file is damaged or cut short", why="its checksum does not match")
