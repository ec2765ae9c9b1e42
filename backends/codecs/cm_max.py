"""Context mixing, six contexts: a fraction of a per cent smaller than `cm`, slower, in several times its memory.

The bytes are those of `cm`, with the contexts of the level MAX.
"""

from __future__ import annotations

from ...compiler.errors import Unsupported
from ..codec import Codec, Words
from ..mixing import settings, stream

MOST = 2**18
"""Integers beyond which time counts for more than a fraction of a per cent."""


def _encode(values: Words) -> bytes:
    if values.size > MOST:
        raise Unsupported(f"a tensor of {values.size} integers is left to the faster level")
    return stream.encode(values, settings.MAX)


def _decode(data: bytes | memoryview, shape: tuple[int, ...]) -> Words:
    return stream.decode(data, shape, settings.MAX)


CODEC = Codec(code=6, encode=_encode, decode=_decode)
