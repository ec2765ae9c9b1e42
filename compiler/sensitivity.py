"""How much the outputs feel one step of each grid of weights, from noise in place of data.

    felt = E[(d (v . y) / d q)^2] over the weights of a grid, in units of its mean over all weights

q are the weights in steps, y the outputs for inputs drawn evenly between the ends of their grids, v normal noise. To
second order it is what squared errors of a step there add to squared errors of the outputs; a trained network keeps its
proportions where noise is all that it is shown, well enough for prices (benchmarks/RESULTS.md).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import torch
from torch import Tensor, fx

from .graph import Graph, arguments, fixed
from .grid import along
from .modes import evaluated
from .operators import own
from .randomness import seeded

RUNS, BATCH = 8, 8
LEAST = 2.0**-10
"""What a grid is felt at least: where no gradient arrives, noise alone may be what did not reach it."""


def felt(graph: Graph, grids: Collection[fx.Node]) -> Mapping[fx.Node, float]:
    """Grid of weights -> how much it is felt, 1 on average over all weights. The same at each call."""
    run, watched = evaluated(graph), {arguments(grid)["x"].name for grid in grids}
    squares = dict.fromkeys(watched, torch.zeros(()))
    with seeded(0), torch.enable_grad():
        for _ in range(RUNS):
            for name, gradient in _gradients(run, watched).items():
                squares[name] = squares[name] + gradient.double() ** 2
    found = {grid: _of_a_step(graph, grid, squares[arguments(grid)["x"].name]) for grid in grids}
    sizes = {grid: arguments(grid)["x"].meta["val"].numel() for grid in grids}
    mean = sum(found[grid] * sizes[grid] for grid in grids) / max(sum(sizes.values()), 1)
    return {grid: max(value / mean, LEAST) if mean else 1.0 for grid, value in found.items()}


def _of_a_step(graph: Graph, grid: fx.Node, squares: Tensor) -> float:
    """Squared gradients of weights -> their mean where weights are told in steps."""
    given = arguments(grid)
    steps = along(graph.evaluate(given["scale"]), squares.dim(), given["axis"]) if squares.dim() else 1.0
    return float((squares * steps**2).mean())


def _gradients(graph: Graph, watched: Collection[str]) -> dict[str, Tensor]:
    """What one batch of noise tells of each weight that it reaches."""
    run = _Watched(graph, watched)
    outputs, _, _ = run.run(*(_noise(graph, port) for port in graph.inputs))
    told = [y for y in outputs if isinstance(y, Tensor) and y.requires_grad]
    if not told:
        return {}
    weights = list(run.weights.values())
    found = torch.autograd.grad(told, weights, [torch.randn_like(y) for y in told], allow_unused=True)
    return {name: g for name, g in zip(run.weights, found, strict=True) if g is not None}


def _noise(graph: Graph, port: fx.Node) -> Any:
    """A batch of noise for an input; zeros where it is of integers, which may be places in a table."""
    value = port.meta["val"]
    if not isinstance(value, Tensor):
        return value
    size = [BATCH if (known := fixed(length)) is None else known for length in value.shape]
    if not value.dtype.is_floating_point:
        return torch.zeros(size, dtype=value.dtype, device=value.device)
    grid = next((reader for reader in port.users if reader.target is own.fake_quantize.default), None)
    if grid is None:
        return torch.randn(size, dtype=value.dtype, device=value.device)
    given, even = arguments(grid), torch.rand(size, dtype=value.dtype, device=value.device)
    return graph.evaluate(given["scale"]) * (given["lo"] - given["zero"] + (given["hi"] - given["lo"]) * even)


class _Watched(fx.Interpreter):
    """Runs the graph; the chosen weights are where gradients end."""

    def __init__(self, graph: Graph, watched: Collection[str]) -> None:
        super().__init__(graph.module())
        self._watched, self.weights = watched, dict[str, Tensor]()

    def run_node(self, n: fx.Node) -> Any:
        found = super().run_node(n)
        if n.name not in self._watched:
            return found
        self.weights[n.name] = found.detach().requires_grad_()
        return self.weights[n.name]
