"""A layer of one weight through insert_fake_quant, in float64: what its quantizer makes of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from lowbit.api import passes
from lowbit.compiler.graph import Graph, arguments
from lowbit.compiler.grid import along
from lowbit.compiler.layers import is_layer
from lowbit.compiler.quantizing import quantizer
from lowbit.compiler.registry import names
from lowbit.compiler.sketches.trial import advance
from lowbit.testing import graph as traced
from torch import Tensor, fx, nn

NAMES = names("lowbit.compiler.quantizers")
CASES = [
    (name, bits)
    for name in NAMES
    for bits in (1, 2, 3, 8)
    if quantizer(name).weights and quantizer(name).least <= bits <= quantizer(name).most
]
"""Quantizers of weights, at widths that they take."""


@dataclass(frozen=True)
class Rounded:
    """A layer's weight in a float64 network, and what its grid gives: y of w and of the other parameters."""

    graph: Graph
    grid: fx.Node
    w: Tensor
    y: Tensor
    parameters: dict[str, Tensor]

    @property
    def codes(self) -> Tensor:
        given = arguments(self.grid)
        return self.y.detach() / along(self.graph.evaluate(given["scale"]), self.w.dim(), given["axis"])


def rounded(
    name: str, bits: int, seed: int, sketch: str = "linear(4)", w: Tensor | None = None, **options: Any
) -> Rounded:
    """The network of one layer, with weights of that seed unless they are given, through insert_fake_quant."""
    before = traced("linear(4)")
    (source,) = [str(arguments(node)["weight"].target) for node in before.nodes if is_layer(node)]
    generator = torch.Generator().manual_seed(seed)
    normal = torch.randn(before.state[source].shape, generator=generator, dtype=torch.float64)
    drawn = nn.Parameter(normal * 2.0 ** -(seed % 4) if w is None else w.clone())
    settings = {"weight_bits": bits, "weights": f'"{name}"'} | options
    text = ", ".join(f"{key}={str(value).lower()}" for key, value in settings.items())
    given = replace(before, state={**before.state, source: drawn})
    graph = advance(given, f"insert_fake_quant({text})", passes()).graph
    (call,) = [node for node in graph.nodes if is_layer(node)]
    grid: fx.Node = arguments(call)["weight"]
    module = graph.select(outputs=(grid,)).module()
    found = dict(module.named_parameters())
    ((y,), _, _) = module(torch.zeros(1, 3, 8, 8, dtype=torch.float64))
    return Rounded(graph, grid, found[source], y, found)


def near(y: Tensor, formula: Tensor) -> None:
    torch.testing.assert_close(y.detach(), formula, rtol=2**-40, atol=2**-40)
