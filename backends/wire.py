"""Bytes on the wire: varints, a bounds-checked cursor, and the one error that a bad file raises."""

from __future__ import annotations

from ..compiler.errors import Unsupported, UserError

REWRITE = "write the file again with `lowbit compile`, or copy it again from where it came"
WORD = 2**64


class FileError(UserError):
    """A file that cannot be read: damaged, cut short, from a newer lowbit, or not a lowbit file at all.

    offset: byte at which reading stopped.   path: the file, empty while only its bytes are known.
    """

    def __init__(
        self, what: str, *, offset: int | None = None, path: str = "", why: str = "", fix: str = REWRITE
    ) -> None:
        self.offset, self.path = offset, path
        place = f"byte {offset}" if offset is not None else ""
        super().__init__(what, where=", ".join(part for part in (path, place) if part), why=why, fix=fix)

    def placed(self, *, base: int = 0, path: str = "") -> FileError:
        """The same error, told from the start of the file and with its path."""
        offset = self.offset if self.offset is None else self.offset + base
        return FileError(self.what, offset=offset, path=path or self.path, why=self.why, fix=self.fix)


def varint(value: int) -> bytes:
    """LEB128: seven bits a byte, least significant first, the top bit set on all but the last."""
    if not 0 <= value < WORD:
        raise Unsupported(f"{value} does not fit the 64 bits that a file gives to a number")
    out = bytearray()
    while value >= 128:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def zigzag(value: int) -> int:
    """0, -1, 1, -2, ... become 0, 1, 2, 3, ..."""
    return 2 * value if value >= 0 else -2 * value - 1


def from_zigzag(folded: int) -> int:
    """The inverse of `zigzag`."""
    return -(folded >> 1) - 1 if folded & 1 else folded >> 1


def signed(value: int) -> bytes:
    """A varint of the zigzag of `value`."""
    return varint(zigzag(value))


class Cursor:
    """Reads forward through bytes. Every read is checked against the end first; FileError tells the offset."""

    def __init__(self, data: bytes | memoryview) -> None:
        self._data = memoryview(data)
        self.offset = 0

    @property
    def left(self) -> int:
        """Bytes not read yet."""
        return len(self._data) - self.offset

    def take(self, size: int) -> memoryview:
        """The next `size` bytes."""
        if size > self.left:
            raise FileError(f"{size} bytes should follow, but only {self.left} do", offset=self.offset)
        self.offset += size
        return self._data[self.offset - size : self.offset]

    def byte(self) -> int:
        """The next byte."""
        return self.take(1)[0]

    def peek(self, size: int) -> memoryview:
        """Up to `size` of the next bytes, not consumed."""
        return self._data[self.offset : self.offset + size]

    def varint(self, what: str, most: int = WORD - 1) -> int:
        """A number in [0, most]; `what` names it in the error. Only the shortest spelling is legal."""
        start, value, shift = self.offset, 0, 0
        while (byte := self.byte()) >= 128:
            value |= (byte & 127) << shift
            shift += 7
            if shift > 63:
                raise FileError(f"{what} is longer than 10 bytes", offset=start)
        value |= byte << shift
        if shift and not byte:
            raise FileError(f"{what} is spelled with a needless zero byte", offset=start)
        if value > most:
            raise FileError(f"{what} is {value}, more than {most}", offset=start)
        return value

    def signed(self, what: str) -> int:
        """A number in [-2**63, 2**63 - 1]."""
        return from_zigzag(self.varint(what))

    def finish(self) -> None:
        """Raise unless everything was read."""
        if self.left:
            raise FileError(f"{self.left} bytes are left over", offset=self.offset)
