"""dequantize: a weight that is already integers; the call that multiplies by it takes the codes and the scale."""

from __future__ import annotations

import numpy as np
import torch

from ..lower import Lowering, Node
from ..real import Codes, Lowered


def _build(node: Node) -> Lowered:
    scale = np.asarray(node.given["scale"], dtype=np.float64)
    return Codes(np.asarray(node.given["codes"], dtype=np.int64), scale, node.given["zero"], node.given["axis"])


LOWERING = Lowering(frozenset({torch.ops.lowbit.dequantize.default}), _build)
