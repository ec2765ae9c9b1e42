"""Weights on a symmetric grid up to the largest, whose width in bits is trained with them, for each layer.

    y = s round(w / s),   s = max|w| / (2^(b-1) - 1),   b = ceil(beta),   beta a parameter, at first `weight_bits`

(WaveQ: Elthakeb et al., arXiv 2003.00146.) The gradient in beta is that of s, with b taken as a real number: the task
asks for bits, and the penalty of `attach_waveq` for fewer. b stays between 2 and `weight_bits`. From the share
`freeze_bits` of the training on, beta is read as the whole number of bits that it had then.
"""

from __future__ import annotations

import torch
from torch import fx

from ..clock import step_ending, steps_done
from ..edit import Edit
from ..grids import width  # noqa: F401  registers the operator
from ..quantizer import Edge, Quantizer

_aten, _own = torch.ops.aten, torch.ops.lowbit


def _scale(edit: Edit, x: fx.Node, edge: Edge) -> fx.Node:
    return edit.call(_own.width_scale.default, x, _bits(edit, edge), edge.axis, edge.grid.bits)


def _bits(edit: Edit, edge: Edge) -> fx.Node:
    weight = edge.name.partition(".weights.")[2]
    first = torch.full_like(edge.start[:1], edge.grid.bits)
    beta = edit.parameter(f"lowbit.bits.{weight}", first)
    if edge.freeze_at is None:
        return beta
    frozen = edit.buffer(f"lowbit.frozen_bits.{weight}", first)
    still = edit.call(_aten.gt.Scalar, step_ending(edit), edge.freeze_at)
    edit.update(frozen, edit.call(_aten.where.self, still, frozen, edit.call(_aten.ceil.default, beta)))
    return edit.call(_aten.where.self, edit.call(_aten.ge.Scalar, steps_done(edit), edge.freeze_at), frozen, beta)


QUANTIZER = Quantizer(_scale, activations=False, least=2, most=8)
