"""Bias correction: the mean of every channel of a quantized layer, brought back to what it is in float.

Each batch runs twice, in float and on the grids. Where the second run comes to a layer with a correction, it takes the
difference of both means and adds it at once, so that the layers behind see what they will see; the correction is the
average of these differences over the batches. That is two runs a batch however many layers there are, and one batch in
memory; with a single batch it is the layer-by-layer procedure of Nagel et al. 2019 (arXiv 1906.04721, appendix D).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, fx

from .graph import Graph
from .grids.unrounded import Unrounded
from .layers import channel_axis, correction_of, is_layer


def corrections(graph: Graph) -> dict[str, fx.Node]:
    """Name of a layer -> the buffer that corrects its bias."""
    found = {node.name: correction_of(node) for node in graph.nodes if is_layer(node)}
    return {name: buffer for name, buffer in found.items() if buffer is not None}


@torch.no_grad()
def clear(graph: Graph) -> None:
    """Set every correction to zero, in place: in float there is nothing to correct."""
    for buffer in corrections(graph).values():
        graph.tensor(buffer).zero_()


@torch.no_grad()
def correct(graph: Graph, batches: Iterable[list[Tensor]], report: Callable[[int], None] = lambda done: None) -> None:
    """Set every correction of a graph of eval mode, in place, from flat inputs.   report: told the batches done."""
    clear(graph)
    buffers = {name: graph.tensor(node) for name, node in corrections(graph).items()}
    sums = {name: torch.zeros_like(buffer, dtype=torch.float64) for name, buffer in buffers.items()}
    weight = 0
    for done, batch in enumerate(batches, 1):
        in_float = _Means(graph, buffers)
        in_float.run(*batch)
        rounded = _Corrected(graph, in_float.means)
        rounded.run(*batch)
        size = next(len(value) for value in batch if isinstance(value, Tensor))
        weight += size
        for name, difference in rounded.differences.items():
            sums[name] += size * difference
        report(done)
    for name, buffer in buffers.items():
        buffer.copy_(sums[name] / max(weight, 1))


class _Means(Unrounded):
    """Runs the graph in float and keeps the mean of each channel of the chosen layers, (channels,) in float64."""

    def __init__(self, graph: Graph, chosen: Iterable[str]) -> None:
        super().__init__(graph.module())
        self._chosen, self.means = frozenset(chosen), dict[str, Tensor]()

    def run_node(self, n: fx.Node) -> Any:
        y = super().run_node(n)
        if n.name in self._chosen:
            self.means[n.name] = _means(n, y)
        return y


class _Corrected(fx.Interpreter):
    """Runs the graph on its grids, moves channels of the chosen layers to the given means, and keeps by how much."""

    def __init__(self, graph: Graph, means: Mapping[str, Tensor]) -> None:
        super().__init__(graph.module())
        self._means, self.differences = means, dict[str, Tensor]()

    def run_node(self, n: fx.Node) -> Any:
        y = super().run_node(n)
        if n.name not in self._means:
            return y
        self.differences[n.name] = difference = self._means[n.name] - _means(n, y)
        along = [-1 if axis == channel_axis(n) else 1 for axis in range(y.dim())]
        return y + difference.to(y.dtype).reshape(along)


def _means(call: fx.Node, y: Tensor) -> Tensor:
    return y.mean([axis for axis in range(y.dim()) if axis != channel_axis(call)], dtype=torch.float64)
