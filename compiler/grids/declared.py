"""Inputs that are integers already, by declaration or by their type: grids that are given and never trained."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Annotated

import torch
from msgspec import Meta
from torch import fx

from ..contract import Options
from ..errors import UserError
from ..graph import Graph
from ..grid import Grid
from ..operators import CARRIERS
from .sharing import floating

Bits = Annotated[int, Meta(ge=1, le=16)]


class Integers(Options, frozen=True):
    """What the integers of an input stand for: real = scale * (q - zero)."""

    scale: Annotated[float, Meta(ge=2**-30, le=2**15)]
    bits: Bits = 8
    signed: bool = False
    zero: Annotated[int, Meta(ge=-(2**15), le=2**16 - 1)] = 0

    def __post_init__(self) -> None:
        _ = self.grid

    @property
    def grid(self) -> Grid:
        """Raises ValueError for a zero outside of it."""
        return Grid(self.bits, self.signed, zero=self.zero)


BY_TYPE = {
    torch.bool: Integers(scale=1.0, bits=1),
    torch.uint8: Integers(scale=1.0),
    torch.int8: Integers(scale=1.0, signed=True),
    torch.int16: Integers(scale=1.0, bits=16, signed=True),
}


def declared(graph: Graph, given: Mapping[str, Integers]) -> Mapping[fx.Node, Integers]:
    """The values that are integers by declaration or by their type. Raises UserError for a pattern that fits none."""
    for pattern in given:
        if not any(fnmatchcase(node.name, pattern) for node in graph.inputs):
            known = ", ".join(node.name for node in graph.inputs)
            raise UserError(f"no input is called '{pattern}'", where="insert_fake_quant.inputs", fix=f"one of: {known}")
    found: dict[fx.Node, Integers] = {}
    for node, source in _values(graph):
        fitting = [own for pattern, own in given.items() if fnmatchcase(source.name, pattern)]
        integers = fitting[-1] if fitting else BY_TYPE.get(source.meta["val"].dtype)
        if integers is not None:
            found[node] = integers
    return found


def _values(graph: Graph) -> Iterator[tuple[fx.Node, fx.Node]]:
    """(value, input) for each input of real numbers, and for what an input of integers is converted to."""
    came = {node: node for node in graph.inputs if isinstance(node.meta["val"], torch.Tensor)}
    for node in graph.nodes:
        first = node.args[0] if node.op == "call_function" and node.target in CARRIERS and node.args else None
        if isinstance(first, fx.Node) and first in came and not floating(first):
            came[node] = came[first]
        if node in came and floating(node):
            yield node, came[node]
