"""Context mixing as it was, seven contexts and no terms: read, and no longer written.

The bytes are those of `cm_max`, of the decisions that `backends/mixing/older.py` makes.
"""

from ..mixing import settings, stream

CODEC = stream.codec(4, settings.OLDER_MAX, written=False)
