"""Context mixing, three contexts: the smallest for weights. Decoded row by row in a few kilobytes of memory.

settings     3 or 4 bytes and the lengths of the stripes, as `backends/mixing/settings.py` writes them
stripes      each a number between 0 and 1 of the range coder in `backends/mixing/arithmetic.py`, of the decisions that
             `backends/mixing/model.py` makes; zero bytes at its end are left out
"""

from ..mixing import settings, stream

CODEC = stream.codec(5, settings.LITE)
