"""Balance: what the channels between layers are multiplied by until the weights before and behind are as large."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, fx

from .chains import CLIPS, Chain
from .graph import Graph, arguments
from .layers import groups, per_output
from .operators import NONNEGATIVE

EQUAL = 0.05
"""Ranges that differ by less than this share are equal; the sweeps go on to a tenth of it. It is 0.07 of a bit."""
NEGLIGIBLE = 2.0**-16


@dataclass
class Kernels:
    """A layer whose channels are multiplied.

    sizes: the largest magnitude of each kernel, (groups, outputs, inputs), of those in a group.
    outputs, inputs: what the channels of each group are multiplied by, (groups, outputs) and (groups, inputs).
    rows, columns: the largest of each output, of each input, once the others are multiplied; None: not known again yet.
    """

    sizes: Tensor
    outputs: Tensor
    inputs: Tensor
    rows: Tensor | None = None
    columns: Tensor | None = None

    def by_output(self) -> Tensor:
        """The largest magnitude of the weights of each output channel, (channels,)."""
        if self.rows is None:
            self.rows = (self.sizes * self.inputs[:, None, :]).amax(2)
        return (self.rows * self.outputs).flatten()

    def by_input(self) -> Tensor:
        """The largest magnitude of the weights that multiply each input channel, (channels,)."""
        if self.columns is None:
            self.columns = (self.sizes * self.outputs[:, :, None]).amax(1)
        return (self.columns * self.inputs).flatten()

    def multiply_outputs(self, by: Tensor) -> None:
        self.outputs, self.columns = self.outputs * by.reshape(self.outputs.shape), None

    def multiply_inputs(self, by: Tensor) -> None:
        self.inputs, self.rows = self.inputs * by.reshape(self.inputs.shape), None


@dataclass
class Pair:
    """Two layers while they are swept over; of each channel between them, (channels,) in float64:

    ours, theirs: whether the first, the second has weights to speak of.   constant: how large it is without weights.
    factor: what it has been multiplied by.
    """

    chain: Chain
    first: Kernels
    second: Kernels
    ours: Tensor
    theirs: Tensor
    constant: Tensor
    factor: Tensor

    def multiply(self, ratio: Tensor) -> None:
        """Multiply the channels between the layers, which the second divides by as much."""
        self.factor = self.factor * ratio
        self.first.multiply_outputs(ratio)
        self.second.multiply_inputs(1 / ratio.repeat_interleave(self.chain.repeat))


def balanced(graph: Graph, chains: Sequence[Chain], rounds: int) -> Sequence[Pair]:
    """The pairs after at most so many sweeps over those that still move; none where all ranges are equal already."""
    layers = {node: _kernels(graph, node) for chain in chains for node in (chain.first, chain.second)}
    pairs = [_begun(graph, chain, layers) for chain in chains]
    if not any(2 * _step(_ratio(pair)) > EQUAL for pair in pairs):
        return []
    moving = set(layers)
    for _ in range(rounds):
        moved = set[fx.Node]()
        for pair in pairs:
            ends = {pair.chain.first, pair.chain.second}
            if ends.isdisjoint(moving | moved):
                continue
            pair.multiply(ratio := _ratio(pair))
            if _step(ratio) >= EQUAL / 20:
                moved |= ends
        if not moved:
            break
        moving = moved
    return pairs


def _kernels(graph: Graph, node: fx.Node) -> Kernels:
    weight = graph.tensor(arguments(node)["weight"]).detach()
    largest = weight.abs().flatten(2).amax(2) if weight.dim() > 2 else weight.abs()
    rows = per_output(node, largest.double())
    sizes = rows.reshape(groups(node), -1, rows.shape[1])
    count, outputs, inputs = sizes.shape
    return Kernels(sizes, sizes.new_ones(count, outputs), sizes.new_ones(count, inputs))


def _begun(graph: Graph, chain: Chain, layers: Mapping[fx.Node, Kernels]) -> Pair:
    first, second = layers[chain.first], layers[chain.second]
    ours, theirs = ranges(chain, first, second)
    live = (ours > NEGLIGIBLE * ours.max(), theirs > NEGLIGIBLE * theirs.max())
    return Pair(chain, first, second, *live, _constant(graph, chain, ours), torch.ones_like(ours))


def _constant(graph: Graph, chain: Chain, like: Tensor) -> Tensor:
    """How large each channel is that has no weights: what its bias makes it."""
    bias = arguments(chain.first)["bias"]
    value = torch.zeros_like(like) if bias is None else graph.tensor(bias).detach().double()
    cut = bool(chain.path) and chain.path[0].target in NONNEGATIVE | CLIPS
    return value.clamp_min(0) if cut else value.abs()


def ranges(chain: Chain, first: Kernels, second: Kernels) -> tuple[Tensor, Tensor]:
    """The largest magnitude of each channel's weights in either layer, (channels,)."""
    ours = first.by_output()
    return ours, second.by_input().reshape(len(ours), -1).amax(1)


def _ratio(pair: Pair) -> Tensor:
    """1 / s: what the channels are to be multiplied by.

    A channel with weights on one side alone is scaled down there to the largest of the others, lest it set the grid.
    """
    ours, theirs = ranges(pair.chain, pair.first, pair.second)
    both = pair.ours & pair.theirs
    if not both.any():
        return torch.ones_like(ours)
    ratio = torch.where(both, theirs / ours, 1.0).sqrt()
    ratio = torch.where(pair.ours & ~pair.theirs, (ours[both].max() / ours).clamp_max(1.0), ratio)
    constant = pair.constant * pair.factor
    room = torch.where(constant > 0, constant[both].max() / constant, math.inf)
    down = torch.minimum(theirs / theirs[both].max(), room).clamp_min(1.0)
    return torch.where(pair.theirs & ~pair.ours, down, ratio)


def _step(ratio: Tensor) -> float:
    """How far a step goes: its largest logarithm."""
    return float(ratio.log().abs().max())
