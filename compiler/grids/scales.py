"""Scales of grids that are trained: the parameter behind each, and the value that gives it a wanted scale."""

from __future__ import annotations

import torch
from torch import Tensor, fx

from ..edit import Edit
from ..graph import arguments
from ..quantizer import Edge

_aten = torch.ops.aten


def parameter(edit: Edit, edge: Edge, value: Tensor) -> fx.Node:
    """The parameter of an edge's scale; edges of one group have one."""
    own = edit.parameter if edge.owned else edit.common
    return own(edge.name, value)


def trained(grid: fx.Node) -> str:
    """The name of the parameter behind a grid's scale; nothing for a scale that is given or computed from a weight."""
    scale = arguments(grid)["scale"]
    return str(arguments(scale)["self"].target) if scale.target is _aten.exp2.default else ""


def value(grid: fx.Node, scale: Tensor) -> Tensor:
    """What the parameter must be for the grid to have that scale."""
    return torch.log2(scale)
