"""Chains: two layers with nothing between them but calls that keep channels apart and scale when they are scaled."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import fx

from .graph import Graph, arguments, fixed, shape
from .layers import channel_axis, is_layer
from .operators import LINEAR, PRODUCERS, RECTIFIERS, RESHAPES, aten, calls
from .text import target_name

CLIPS = calls("relu6", "relu6_", "hardtanh", "hardtanh_", "clamp", "clamp_") - {aten.clamp.Tensor, aten.clamp_.Tensor}
"""Calls that limit a value from above by a number."""
_SIXES = calls("relu6", "relu6_")
BOUND = aten.clamp_max.Tensor
"""The call that limits each channel from above by a number of its own, (1, channels, 1, ...)."""

_ELEMENTWISE = RECTIFIERS | calls(
    *("leaky_relu", "leaky_relu_", "prelu", "_prelu_kernel", "dropout", "dropout_", "contiguous", "clone")
)
_POOLS = calls(
    *("max_pool1d", "max_pool2d", "max_pool3d", "avg_pool1d", "avg_pool2d", "avg_pool3d"),
    *("adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d"),
)
_ALL_BUT = (aten.mean.dim, aten.pad.default, aten.constant_pad_nd.default)


@dataclass(frozen=True)
class Lay:
    """Where the channels of a value lie: along `axis`, each `repeat` times in a row."""

    axis: int
    repeat: int = 1


@dataclass(frozen=True)
class Chain:
    """From a call to the next layer. Every value on the way has one reader.

    first: where it begins.   path: the calls between.   second: the layer that reads the end.
    lays: where the channels lie in the value of `first` and of each call of the path.
    """

    first: fx.Node
    path: tuple[fx.Node, ...]
    second: fx.Node
    lays: tuple[Lay, ...]

    @property
    def repeat(self) -> int:
        """How many inputs of the second layer, one behind the other, each channel becomes."""
        return self.lays[-1].repeat

    @property
    def clips(self) -> tuple[tuple[fx.Node, Lay], ...]:
        """The calls on the path that limit values from above."""
        behind = zip(self.path, self.lays[1:], strict=True)
        return tuple((node, lay) for node, lay in behind if node.target in CLIPS or node.target is BOUND)


def chain_from(first: fx.Node) -> Chain | str:
    """The chain that begins at a layer, or at a norm behind one; or why none does."""
    lay = Lay(channel_axis(first) if is_layer(first) else 1)
    node, path, lays = first, list[fx.Node](), [lay]
    while True:
        if len(node.users) != 1:
            return f"{target_name(node.target)} has {len(node.users)} readers"
        (reader,) = node.users
        called = target_name(reader.target)
        if reader.target in PRODUCERS:
            fits = _feeds(node, reader, lay)
            return Chain(first, tuple(path), reader, tuple(lays)) if fits else f"{called} mixes its channels"
        after = through(reader, lay) if reader.op == "call_function" else None
        if after is None:
            return f"{target_name(node.target)} is an output" if reader.op == "output" else f"{called} stands behind it"
        node, lay = reader, after
        path.append(reader)
        lays.append(lay)


def _feeds(node: fx.Node, reader: fx.Node, lay: Lay) -> bool:
    """Whether the node is the layer's input, and has its channels where the layer expects them."""
    if arguments(reader)["input"] is not node:
        return False
    return lay.axis == (len(shape(node)) - 1 if reader.target is LINEAR else 1)


def through(node: fx.Node, lay: Lay) -> Lay | None:
    """Where the channels of a call's value lie, if its input has them at `lay`; None unless they stay apart and
    the value is multiplied by what its input is multiplied by, a positive number for each channel. A limit from above
    passes for it: it is multiplied alike."""
    given = arguments(node)
    rank = len(shape(node))
    if node.target in _ELEMENTWISE or (node.target in CLIPS and upper(node) is not None):
        return lay
    if node.target is BOUND:
        return lay if _is_bound(given["max"], rank, lay) else None
    if node.target in _POOLS:
        return lay if lay.axis == 1 else None
    if node.target in _ALL_BUT:
        return _spatial(node, given, lay)
    return _reshaped(node, lay) if node.target in RESHAPES else None


def _spatial(node: fx.Node, given: Mapping[str, Any], lay: Lay) -> Lay | None:
    """A mean, or a border of zeros, along other axes than that of the channels."""
    rank = len(shape(node.all_input_nodes[0]))
    if node.target is aten.mean.dim:
        axes = {axis % rank for axis in given["dim"] or range(rank)}
        below = 0 if given["keepdim"] else sum(axis < lay.axis for axis in axes)
        return None if {0, lay.axis} & axes else Lay(lay.axis - below, lay.repeat)
    zeros = given.get("mode", "constant") == "constant" and not given["value"]
    return lay if zeros and lay.axis < rank - len(given["pad"]) // 2 else None


def _reshaped(node: fx.Node, lay: Lay) -> Lay | None:
    """The axis of the result whose blocks lie within single channels, if there is one and the batch stays apart."""
    before, after = shape(node.all_input_nodes[0]), shape(node)
    sizes, wanted = [fixed(size) for size in before[1:]], [fixed(size) for size in after[1:]]
    if None in sizes or None in wanted or str(before[0]) != str(after[0]) or math.prod(before[1 : lay.axis]) != 1:
        return None
    span = lay.repeat * math.prod(before[lay.axis + 1 :])
    for axis in range(1, len(after)):
        block = math.prod(after[axis + 1 :])
        if span % block == 0 and math.prod(after[1:axis]) == 1:
            return Lay(axis, span // block)
    return None


def upper(node: fx.Node) -> float | None:
    """The positive number by which a clip limits values that it does not let below zero; None if it does otherwise."""
    given = arguments(node)
    if node.target in _SIXES:
        return 6.0
    lo, hi = (given["min_val"], given["max_val"]) if "min_val" in given else (given["min"], given["max"])
    fits = isinstance(hi, (int, float)) and isinstance(lo, (int, float)) and lo == 0 and hi > 0
    return float(hi) if fits else None


def _is_bound(other: Any, rank: int, lay: Lay) -> bool:
    """Whether a constant holds one number a channel, or one for all."""
    if not isinstance(other, fx.Node) or other.op != "get_attr" or lay.repeat != 1:
        return False
    sizes = [1] * (rank - len(shape(other))) + [int(size) for size in shape(other)]
    return all(size == 1 or axis == lay.axis for axis, size in enumerate(sizes))


def shared(graph: Graph, call: fx.Node, *names: str) -> str:
    """Why these of a layer's weight and bias cannot be changed for this call alone, or nothing."""
    for name in names:
        operand = arguments(call)[name]
        if operand is None:
            continue
        if operand.op != "get_attr":
            return f"its {name} is computed from other values"
        readers = _readers(graph, operand)
        if readers != 1:
            return f"its {name} has {readers} readers"
    return ""


def _readers(graph: Graph, operand: fx.Node) -> int:
    """The readers of a tensor under all its names."""
    tensor = graph.tensor(operand)
    same = [node for node in graph.fx.nodes if node.op == "get_attr" and graph.tensor(node) is tensor]
    return sum(len(node.users) for node in same)
