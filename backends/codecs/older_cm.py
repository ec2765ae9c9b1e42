"""Context mixing as it was, four contexts and no terms: read, and no longer written.

The bytes are those of `cm`, of the decisions that `backends/mixing/older.py` makes.
"""

from ..mixing import settings, stream

CODEC = stream.codec(3, settings.OLDER_LITE, written=False)
