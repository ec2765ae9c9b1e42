"""pad with zeros around height and width: the integer that stands for zero is put there."""

from __future__ import annotations

import torch

from ..lower import Lowering, Node
from ..real import Lowered, Real

_aten = torch.ops.aten


def _build(node: Node) -> Lowered:
    x, sizes = node.on_grid("self"), list(node.given["pad"])
    if node.given.get("mode", "constant") != "constant" or node.given["value"]:
        raise node.unsupported("it pads with something other than zeros")
    if len(sizes) > 4 or min(sizes) < 0:
        raise node.unsupported("it pads or crops more than height and width")
    left, right, top, bottom = [*sizes, 0, 0][:4]
    value = node.step("pad2d", x.value, padding=(top, bottom, left, right), pad_value=x.zero)
    return Real(value, x.scale, x.zero)


LOWERING = Lowering(frozenset({_aten.pad.default, _aten.constant_pad_nd.default}), _build)
