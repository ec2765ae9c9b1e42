"""Which layers can take in a batch norm: those whose output channels it normalizes, with nothing but moves between.

The value may be joined of several (`cat`), each of which takes its own channels in. Between layer and norm may also
stand a division and a sum with one constant a channel, as `simulate_fold` puts them there.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, fx

from ..graph import Graph, arguments, shape
from ..layers import channel_axis, channels, output_axis, spread_factor
from ..operators import PADDED_IN_WORDS, PRODUCERS, aten, own
from .movement import behind, feeds

LAYERS = PRODUCERS | PADDED_IN_WORDS


@dataclass(frozen=True)
class Taker:
    """A layer that takes in a norm, or another norm that does.

    channels: the norm's channel for each of the layer's, NOBODY where the norm does not read it.
    divisor, offset: constants by which the layer's output is divided, and what is added then, before the norm.
    """

    node: fx.Node
    channels: Tensor
    divisor: fx.Node | None = None
    offset: fx.Node | None = None


@dataclass(frozen=True)
class Edge:
    """An operand of a join that nothing can take the norm in for, and the norm's channel for each element of it."""

    join: fx.Node
    position: int
    index: Tensor


@dataclass(frozen=True)
class Found:
    """What takes in a norm, and why nothing does.   between: the nodes from there to the norm, that no longer need be
    on grids of their own.
    """

    takers: tuple[Taker, ...] = ()
    edges: tuple[Edge, ...] = ()
    between: tuple[fx.Node, ...] = ()
    reason: str = ""


@dataclass(frozen=True)
class Search:
    """Looks behind norms.   fixed: the graph's constants.   gone: nodes that are their input's value by now.
    norms: norms that became a multiply-add, which takes in another.
    """

    fixed: Collection[fx.Node]
    gone: Collection[fx.Node] = field(default_factory=set)
    norms: Collection[fx.Node] = field(default_factory=set)

    def takers(self, norm: fx.Node) -> Found:
        """The layers that take in a norm whose channels lie along axis 1, or the reason why none does."""
        given = arguments(norm)
        count = int(shape(given["running_mean"])[0])
        index = torch.arange(count).reshape(1, -1, *[1] * (len(shape(norm)) - 2))
        return self._behind(given["input"], index)

    def simulated(self, node: fx.Node) -> Taker | None:
        """The layer whose output a node is, divided by the factor of a norm, if it can take that in."""
        found = self._scaled(node)
        if found is None or spread_factor(found.divisor) is None:
            return None
        whole = replace(found, channels=torch.arange(channels(found.node)))
        return None if self._unfit(whole) else whole

    def _behind(self, node: fx.Node, index: Tensor) -> Found:
        layer = None if node in self.gone else self._scaled(node)
        parts = [(first(node), index)] if node in self.gone else behind(node, index)
        if layer is None and not parts:
            return Found(reason="no convolution or linear feeds it")
        if not feeds(node):
            return Found(reason=f"the {_called(node)} has {len(node.users)} readers")
        if any(part.shape[0] > 1 for _, part in [(node, index), *parts]):
            return Found(reason="its channels lie along the batch")
        if layer is not None:
            return self._taken(node, layer, index)
        found = [self._behind(*part) for part in parts]
        if not any(part.takers for part in found):
            return found[0]
        edges = [Edge(node, i, parts[i][1]) for i, part in enumerate(found) if not part.takers]
        return Found(
            tuple(taker for part in found for taker in part.takers),
            (*edges, *(edge for part in found for edge in part.edges)),
            (node, *(passed for part in found for passed in part.between)),
        )

    def _taken(self, node: fx.Node, layer: Taker, index: Tensor) -> Found:
        axis = 1 if layer.node in self.norms else channel_axis(layer.node)
        if any(size > 1 for i, size in enumerate(index.shape) if i != axis):
            return Found(reason=f"it does not normalize the output channels of the {_called(layer.node)}")
        count = int(shape(layer.node)[axis])
        whole = Taker(layer.node, index.reshape(-1).expand(count), layer.divisor, layer.offset)
        if layer.node not in self.norms and (reason := self._unfit(whole)):
            return Found(reason=reason)
        return Found((whole,), (), tuple(_chain(node, layer.node)))

    def _unfit(self, taker: Taker) -> str:
        """Why a layer's weight cannot be scaled for each of its output channels."""
        weight: fx.Node = arguments(taker.node)["weight"]
        bias = arguments(taker.node)["bias"]
        if weight not in self.fixed or not (bias is None or bias in self.fixed):
            return f"the weight of the {_called(taker.node)} is computed from an input"
        if weight.target is own.dequantize.default and output_axis(taker.node) is None:
            return "the grid of its weight has no scale for each output channel"
        return ""

    def _scaled(self, node: fx.Node) -> Taker | None:
        """The layer whose output a node is, divided by a constant and shifted by one perhaps."""
        divisor = offset = None
        x = node
        if x.target is aten.add.Tensor and arguments(x)["alpha"] == 1 and self._is_constant(arguments(x)["other"]):
            offset, x = arguments(x)["other"], first(x)
        if x.target is aten.div.Tensor and self._is_constant(arguments(x)["other"]):
            divisor, x = arguments(x)["other"], first(x)
        if x.target not in LAYERS and x not in self.norms:
            return None
        fits = all(by is None or _one_a_channel(x, by) for by in (divisor, offset))
        alone = all(feeds(part) for part in _chain(node, x)[1:])
        return Taker(x, torch.empty(0), divisor, offset) if fits and alone else None

    def _is_constant(self, operand: object) -> bool:
        return isinstance(operand, fx.Node) and operand in self.fixed


def norms(graph: Graph) -> list[fx.Node]:
    """The batch norms that have running statistics, in order."""
    found = (node for node in graph.fx.nodes if node.target is aten.batch_norm.default)
    return [node for node in found if arguments(node)["running_mean"] is not None]


def first(node: fx.Node) -> fx.Node:
    """The tensor that a call works on."""
    found: fx.Node = next(iter(arguments(node).values()))
    return found


def _chain(node: fx.Node, last: fx.Node) -> list[fx.Node]:
    found = [node]
    while found[-1] is not last:
        found.append(first(found[-1]))
    return found


def _one_a_channel(call: fx.Node, constant: fx.Node) -> bool:
    """Whether a constant differs between the channels of a layer alone, and leaves the shape of its output."""
    axis, rank = channel_axis(call), len(shape(call))
    sizes = [1] * (rank - len(shape(constant))) + [int(size) for size in shape(constant)]
    return len(sizes) == rank and all(
        size == 1 or (i == axis and size == channels(call)) for i, size in enumerate(sizes)
    )


def _called(node: fx.Node) -> str:
    return "convolution or linear" if node.target in LAYERS else getattr(node.target, "__name__", node.name)
