"""Quantizer, the record of how the values of an edge come onto a grid, and Edge, the grid that is asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx

from .edit import Edit
from .grid import Grid

_own = torch.ops.lowbit

FOLDER = f"{__package__}.quantizers"
"""Where the quantizers lie."""


@dataclass(frozen=True)
class Edge:
    """A planned grid: what quantizes the edge, the name of its scale in the state, and the grid itself.

    quantizer: None where the scale is given, as of an input of integers.   start: the first value of the scale.
    axis: along which each channel has a scale of its own; None: one for all.   owned: the scale is this edge's alone,
    not of a group.   straight: the gradient passes where a value is clipped.   options: of the layer.
    freeze_at: the step from which a trained width stays as it is; None: never.
    narrow: a second grid for those `readers`.
    """

    name: str
    start: Tensor
    grid: Grid
    quantizer: Quantizer | None
    options: Any
    axis: int | None = None
    owned: bool = False
    straight: bool = False
    freeze_at: int | None = None
    narrow: Edge | None = None
    readers: frozenset[str] = frozenset()


Start = Callable[[Tensor, Grid, "int | None"], Tensor]
"""The first scale, (1,) or (channels,), of a weight on a grid with that axis of channels."""
Build = Callable[[Edit, fx.Node, Edge], fx.Node]
"""A node made of what arrives at an edge, and for it."""


def symmetric(bits: int) -> Grid:
    """Zero and as many integers on either side; of 1 bit, which has no room for a zero, -1 and 1."""
    return odd(1) if bits == 1 else Grid(bits, signed=True, narrow=True)


def odd(bits: int) -> Grid:
    """2^bits odd integers, without a zero."""
    return Grid(bits, signed=True, odd=True)


@dataclass(frozen=True)
class Quantizer:
    """How values come onto a grid: values(x) -> scale -> fake_quantize. Its file's docstring has the equation.

    scale: makes the node of the scale: a parameter, a constant, or what is computed from the values that arrive.
    values: makes the node that is rounded, of the weight or activation.   weight_grid: bits -> the grid of weights.
    start: the first scale of a weight, for those that have a parameter.
    weights, activations: what it is for.   signed: whether it takes activations that can be negative, inputs and
    outputs; where it does not, `learned` stands in.   least, most: bits of weights.
    clipped: the gradient of the scale comes from clipped values alone.   straight: that of a weight passes where it is
    clipped.   keeps_size: whether the rounded weights are as large as the weights.
    """

    scale: Build
    values: Build = lambda edit, x, edge: x
    weight_grid: Callable[[int], Grid] = symmetric
    start: Start = lambda x, grid, axis: x.new_ones(1)
    weights: bool = True
    activations: bool = True
    signed: bool = True
    least: int = 1
    most: int = 16
    clipped: bool = False
    straight: bool = True
    keeps_size: Callable[[Any], bool] = lambda options: True


def quantized(edit: Edit, x: fx.Node, edge: Edge) -> fx.Node:
    """The values of x on the edge's grid."""
    flags = {"odd": edge.grid.odd, "clipped": False}
    if edge.quantizer is None:
        scale = edit.buffer(edge.name, edge.start)
    else:
        x = edge.quantizer.values(edit, x, edge)
        scale, flags["clipped"] = edge.quantizer.scale(edit, x, edge), edge.quantizer.clipped
    given = edge.grid.zero, edge.grid.lo, edge.grid.hi, edge.axis or 0, edge.straight
    chosen = {name: flag for name, flag in flags.items() if flag}
    return edit.call(_own.fake_quantize.default, x, scale, *given, **chosen)
