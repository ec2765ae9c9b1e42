"""view, reshape, flatten and their kin: the same integers in another shape."""

from __future__ import annotations

import torch

from ..lower import Lowering, Node
from ..real import Lowered, Real

_aten = torch.ops.aten


def _build(node: Node) -> Lowered:
    x = node.on_grid("self")
    if node.shape == node.builder[x.value].shape:
        return x
    return Real(node.step("reshape", x.value, shape=node.shape), x.scale, x.zero)


LOWERING = Lowering(
    frozenset(
        {
            _aten.view.default,
            _aten.reshape.default,
            _aten.flatten.using_ints,
            _aten.squeeze.dim,
            _aten.squeeze.dims,
            _aten.unsqueeze.default,
        }
    ),
    _build,
)
