"""The weights of a layer in flash: as they are met; packed, in as few bits as all fit; or coded, as rANS writes them.

Packed rows are unpacked where they are met, a few at a time; so are coded rows that are met once, in order. Any other
coded layer is decoded whole, each time it runs, into its scratch memory. Either form is taken only where it is smaller,
and in portable C alone.
"""

from __future__ import annotations

from importlib.resources import files

import numpy as np

from ...compiler.arrays import Integers
from .. import bits, mixing
from ..codecs import rans
from ..fixed.types import Range
from ..wire import Cursor
from .body import Body
from .integers import INT8, LONG, UINT8, Integer

PLAIN, PACKED, CODED = FORMS = ("plain", "packed", "coded")
UNPACK = """\
/* integers of $bits bits each, and what the least of them is */
static void $name(int8_t *to, const uint8_t *from, int32_t count, int32_t least)
{
    uint32_t held = 0;
    int32_t ready = 0;
    for (int32_t i = 0; i < count; i++) {
        if (ready < $bits) {
            held |= (uint32_t)*from++ << ready;
            ready += 8;
        }
        to[i] = (int8_t)((int32_t)(held & $mask) + least);
        held >>= $bits;
        ready -= $bits;
    }
}
"""
DECODER = """\
#ifndef LOWBIT_RANS_HERE
#define LOWBIT_RANS_HERE
#define CM_INT int8_t
#define RANS_SLOTS 0
$text
#endif
"""
BEGIN = """\
/* The stream is one of the encoder's: it can be begun. */
static rans_state $name(uint64_t *memory, const uint8_t *from, int32_t size)
{
    rans_state state = {0};
    (void)rans_words;
    (void)rans_end;
    (void)rans_begin(&state, memory, from, (size_t)size);
    return state;
}
"""


def layer(body: Body, weight: Integers, type: Integer) -> str:
    """The name of all weights, in that order, for the whole of the function."""
    form = _form(body, weight, type)
    if form == PACKED:
        width, least = _packed(body, weight)
        call = f"{_unpack(body, width)}(unpacked, weight, {weight.size}, {least});"
        body.begins += [body.memory("unpacked", INT8, weight.size), call]
        return "unpacked"
    if form == CODED:
        body.begins += [*_coded(body, weight), body.memory("unpacked", INT8, weight.size)]
        body.begins.append(f"rans_take(&coded, unpacked, {weight.size});")
        return "unpacked"
    return body.table("weight", weight, type)


def rows(body: Body, weight: Integers, type: Integer, some: int, first: str, once: bool = False) -> tuple[str, str]:
    """A statement, or "", after which the expression is the address of `some` rows from the row `first` on.

    weight: (rows, length); the length is a multiple of 8.   once: whether all are met in order, one time.
    """
    length, form = weight.shape[1], _form(body, weight, type)
    if form == PACKED:
        width, least = _packed(body, weight)
        body.begins.append(body.memory("unpacked", INT8, some * length))
        place = f"weight + ({first}) * {length * width // 8}"
        return f"{_unpack(body, width)}(unpacked, {place}, {some * length}, {least});", "unpacked"
    if form == CODED and once:
        body.begins += [*_coded(body, weight), body.memory("unpacked", INT8, some * length)]
        return f"rans_take(&coded, unpacked, {some * length});", "unpacked"
    return "", f"{layer(body, weight, type)} + ({first}) * {length}"


def _form(body: Body, weight: Integers, type: Integer) -> str:
    """What the body asks for where that is the smallest; of coded weights, packed ones where those are smaller."""
    if body.weights == PLAIN or type is not INT8:
        return PLAIN
    sizes = {PLAIN: weight.size, PACKED: -(-weight.size * _width(weight) // 8)}
    if body.weights == CODED:
        sizes[CODED] = len(_stream(weight))
    return min(sizes, key=lambda form: sizes[form])


def _width(weight: Integers) -> int:
    held = Range.of(weight)
    return max(1, (held.hi - held.lo).bit_length())


def _packed(body: Body, weight: Integers) -> tuple[int, int]:
    """Makes the bytes known. Returns the bits of each integer, and the least."""
    width, least = _width(weight), int(weight.min())
    offsets = (weight.reshape(-1) - least).astype(np.uint64)
    packed = np.frombuffer(bits.pack(bits.fields(offsets, width)), np.uint8)
    body.table("weight", packed.astype(np.int64), UINT8)
    return width, least


def _unpack(body: Body, width: int) -> str:
    return body.helper(f"unpack_{width}", UNPACK, bits=width, mask=f"{(1 << width) - 1}u")


def _stream(weight: Integers) -> bytes:
    return rans.CODEC.encode(weight.astype(np.int64).reshape(-1))


def _coded(body: Body, weight: Integers) -> list[str]:
    """Statements that begin the decoder `coded`."""
    stream = _stream(weight)
    body.table("weight", np.frombuffer(stream, np.uint8).astype(np.int64), UINT8)
    body.helper("rans", DECODER, text=_decoder())
    begin = body.helper("begin", BEGIN)
    memory = body.memory("decoder", LONG, _words(stream)).replace(body.held(LONG), "uint64_t")
    return [memory, f"rans_state coded = {begin}(decoder, weight, {len(stream)});"]


def _words(stream: bytes) -> int:
    """Words of memory that the decoder needs: of lanes and of symbols."""
    cursor = Cursor(stream)
    lanes = 1 << (cursor.byte() >> 4)
    return lanes + cursor.varint("the symbols") + 1


def _decoder() -> str:
    """The decoder's own text, as a part of this file."""
    folder = files(mixing.__name__).joinpath("native")
    header, source = (folder.joinpath(name).read_text(encoding="utf-8") for name in ("rans.h", "rans.c"))
    lines = [*header.splitlines(), *source.replace('#include "rans.h"', "").splitlines()]
    shared = ("size_t rans_", "int rans_", "void rans_")
    return "\n".join(f"static {line}" if line.startswith(shared) else line for line in lines)
