"""embedding: the row of a table for each integer of an input, as one look-up for each column.

The columns are the rows of a table of the program, which the grid behind rounds: nothing is rounded twice.
"""

from __future__ import annotations

import numpy as np

from ....compiler.operators import EMBEDDING
from ...fixed.ops.table import MOST
from ..curves import precision
from ..lower import Lowering, Node
from ..moving import taken
from ..real import Codes, Curve, Lowered, Real


def _build(node: Node) -> Lowered:
    places, weight = node.given["indices"], node.given["weight"]
    if not isinstance(places, Real):
        raise node.unsupported("what it looks up is no integer input of the model")
    if not isinstance(weight, Codes) or weight.scale.size > 1:
        raise node.unsupported("its table is not on one grid")
    rows, columns = weight.integers.shape
    if rows > MOST:
        raise node.unsupported(f"its table has {rows} rows, more than {MOST}")
    kind, sizes = precision(node), node.builder[places.value].shape
    reals = (weight.integers - weight.zero).astype(kind) * weight.scale.astype(kind)
    column = node.shaped(places.value, (*sizes, 1))
    spread = taken(node, column, len(sizes), [0] * columns) if columns > 1 else column
    return Curve(Real(spread, np.ones(1)), reals.T.astype(np.float64), 0, axis=len(sizes))


LOWERING = Lowering(frozenset({EMBEDDING}), _build)
