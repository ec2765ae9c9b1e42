"""What writer and reader of a `.lowbit` file share: the numbers of its layout (see docs/format.md) and its checksum."""

from __future__ import annotations

import zlib

import numpy as np

from ...compiler.errors import Unsupported
from ..codec import Words
from ..fixed.program import Port
from ..fixed.types import INT32

MAGIC = b"\x89LBT"  # the first byte is not ASCII, so that no tool takes the file for text
VERSION = 2  # what is written; version 1, which spelt out every number, is read too
FEATURES = 0  # the required-feature bits that this lowbit knows
HEADER, TRAILER = 6, 8  # bytes: magic, version, features; the two checksums

INPUT, CONSTANT, STEP = 0, 1, 16  # kinds of an entry: an input; a constant of rank kind - 1; a step of op kind - 16
RANKS = STEP - CONSTANT  # ranks that a file can hold are below this
DIMENSION = 2**31 - 1
MULTIPLIER = 2**23  # the least multiplier of a port; three bytes hold what lies above it
SHIFT = 255  # float32 scales need -104..172


def digest(values: Words, before: int = 0) -> int:
    """CRC-32 of integers as 64-bit little-endian words, continued from that of the integers before."""
    return zlib.crc32(np.ascontiguousarray(values, dtype="<i8").data, before)


def check_port(port: Port) -> None:
    """Raise Unsupported unless the port's numbers are those of some float32 scale and a 32-bit zero point."""
    if not MULTIPLIER <= port.multiplier < 2 * MULTIPLIER:
        raise Unsupported(f"the multiplier of a port is {port.multiplier}, not in [2**23, 2**24)")
    if not -SHIFT <= port.shift <= SHIFT:
        raise Unsupported(f"the shift of a port is {port.shift}, not in [-{SHIFT}, {SHIFT}]")
    if port.zero not in INT32:
        raise Unsupported(f"the zero point of a port is {port.zero}, which needs more than 32 bits")
