"""Context mixing as it was, four contexts and no terms: read, and no longer written.

The bytes are those of `cm`, of the decisions that `backends/mixing/older.py` makes.
"""

from __future__ import annotations

import functools

from ..codec import Codec
from ..mixing import settings, stream

CODEC = Codec(
    code=3,
    encode=functools.partial(stream.encode, level=settings.OLDER_LITE),
    decode=functools.partial(stream.decode, level=settings.OLDER_LITE),
    written=False,
)
