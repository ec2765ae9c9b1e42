"""add: two values on their own grids; the grid that reads the sum computes and rounds it in one step."""

from __future__ import annotations

import numpy as np
import torch

from ..lower import Lowering, Node
from ..real import Lowered, Sum


def _build(node: Node) -> Lowered:
    if node.given["alpha"] != 1:
        raise node.unsupported(f"alpha is {node.given['alpha']}")
    a, b = node.given["self"], node.given["other"]
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):  # such as a bias and its correction
        constant: Lowered = a + b
        return constant
    terms = node.on_grid("self"), node.on_grid("other")
    if len({node.builder[term.value].shape for term in terms}) > 1:
        raise node.unsupported("its terms have different shapes")
    return Sum(*terms)


LOWERING = Lowering(frozenset({torch.ops.aten.add.Tensor, torch.ops.aten.add_.Tensor}), _build)
