"""addcmul: k x + t for each channel, k and t constants: what a batch norm comes to that no layer takes in."""

from __future__ import annotations

import numpy as np
import torch

from ..affine import affine
from ..lower import Lowering, Node
from ..real import Lowered


def _build(node: Node) -> Lowered:
    factors = ("tensor1", "tensor2")
    value, factor = factors if isinstance(node.given["tensor2"], np.ndarray) else factors[::-1]
    x, k, t = node.real(value), node.floats(factor), node.floats("self")
    if k is None or t is None:
        raise node.unsupported("it does not multiply and add constants")
    return affine(node, x, np.asarray(k, np.float64) * node.given["value"], t)


LOWERING = Lowering(frozenset({torch.ops.aten.addcmul.default}), _build)
