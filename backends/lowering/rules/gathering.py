"""gather and index with constant places: the integers of any places, in any order."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from ....compiler.operators import calls
from ..lower import Lowering, Node
from ..moving import picked_as
from ..real import Lowered, Real


def _build(node: Node) -> Lowered:
    target: Any = node.node.target
    given = {name: _constant(node, value) for name, value in list(node.given.items())[1:]}
    return picked_as(node, lambda ids: target(ids, **given))


def _constant(node: Node, value: Any) -> Any:
    """An argument of the call, places as a tensor."""
    if isinstance(value, (list, tuple)):
        return [_constant(node, item) for item in value]
    if isinstance(value, Real):
        raise node.unsupported("its places are computed from the input", "gather at places that are constant")
    return torch.from_numpy(np.ascontiguousarray(value)) if isinstance(value, np.ndarray) else value


LOWERING = Lowering(calls("gather", "index"), _build)
