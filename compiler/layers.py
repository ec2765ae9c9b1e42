"""Layers: the calls that multiply by a weight, the weights behind them, and where their channels lie."""

from __future__ import annotations

from collections.abc import Set
from typing import Any

from torch import Tensor, fx

from .graph import Graph, arguments, layer, schema_arguments, shape
from .operators import EMBEDDING, LINEAR, MATMULS, PRODUCERS, TRANSPOSED, aten, own

MASKS = "lowbit.masks."
"""Names of the buffers that multiply weights by 0 or 1."""

_SPREADS = frozenset({aten.reshape.default, aten.expand.default})

CORRECTIONS = "lowbit.corrections."
"""Names of the buffers that are added to biases."""


def is_layer(node: Any) -> bool:
    """Whether this is a call that multiplies by a weight."""
    return isinstance(node, fx.Node) and node.op == "call_function" and node.target in PRODUCERS


def is_mask(node: Any) -> bool:
    """Whether this is the mask of a weight."""
    return isinstance(node, fx.Node) and str(node.target).startswith(MASKS)


def weight_of(node: Any) -> fx.Node | None:
    """The parameter or buffer behind a weight operand, through masks, grids, transforms, factors of norms; or None."""
    while isinstance(node, fx.Node) and node.op == "call_function":
        match node.target:
            case own.fake_quantize.default:
                node = arguments(node)["x"]
            case aten.mul.Tensor if is_mask(arguments(node)["other"]):
                node = arguments(node)["self"]
            case aten.mul.Tensor if factor_of(node) is not None:
                node = arguments(node)["self"]
            case _ if is_transform(node):
                node = arguments(node)["weight"]
            case _:
                return None
    return node if isinstance(node, fx.Node) and node.op == "get_attr" else None


def weight_name(weight: fx.Node, call: fx.Node) -> str:
    """The dotted name of the parameter behind a weight; of one that is computed from others, that of its layer."""
    source = weight_of(weight)
    return f"{layer(call) or call.name}.weight" if source is None else str(source.target)


def is_transform(node: fx.Node) -> bool:
    """Whether this is an operator of ours that makes a weight of a weight: its first argument is called `weight`."""
    names = [name for name, _ in schema_arguments(node.target)] if hasattr(node.target, "_schema") else []
    return getattr(node.target, "namespace", "") == own.name and names[:1] == ["weight"]


def factor_of(product: fx.Node) -> fx.Node | None:
    """The factor of a norm, (channels,), by which a weight is multiplied; None if the node is no such product."""
    return spread_factor(arguments(product)["other"]) if product.target is aten.mul.Tensor else None


def spread_factor(node: Any) -> fx.Node | None:
    """The factor of a norm, (channels,), behind its reshapes; None if it is none."""
    while isinstance(node, fx.Node) and node.target in _SPREADS:
        node = arguments(node)["self"]
    if not isinstance(node, fx.Node):
        return None
    k = arguments(node)["self"] if node.target is aten.index_select.default else node
    return node if k.target is own.norm_factor.default else None


def weights_read(call: fx.Node, constants: Set[fx.Node]) -> list[tuple[fx.Node, int | None]]:
    """(operand, the axis of its output channels) of each weight of a layer, matrix product or embedding.

    An embedding looks its rows up, so that one scale must do for all; a layer's weight may be an activation itself.
    """
    if is_layer(call):
        weight = arguments(call)["weight"]
        return [(weight, output_axis(call))] if weight in constants else []
    if call.target is EMBEDDING:
        return [(arguments(call)["weight"], None)]
    if call.target not in MATMULS:
        return []
    *_, left, right = (operand for operand in arguments(call).values() if isinstance(operand, fx.Node))
    pairs = [(left, len(shape(left)) - 2), (right, len(shape(right)) - 1)]
    return [(operand, max(axis, 0)) for operand, axis in pairs if operand in constants and weight_of(operand)]


def correction_of(call: fx.Node) -> fx.Node | None:
    """The buffer that corrects a layer's bias, or stands in for one; None if there is none."""
    bias = arguments(call)["bias"]
    operand = arguments(bias)["other"] if getattr(bias, "target", None) is aten.add.Tensor else bias
    return operand if str(getattr(operand, "target", "")).startswith(CORRECTIONS) else None


def weights_multiplied(graph: Graph) -> list[fx.Node]:
    """The parameters behind the weights of layers, each once, in graph order."""
    found = {weight_of(arguments(node)["weight"]): None for node in graph.fx.nodes if is_layer(node)}
    return [node for node in graph.fx.nodes if node in found]


def groups(call: fx.Node) -> int:
    """How many independent groups of channels a layer has; 1 for a linear."""
    found: int = arguments(call).get("groups", 1)
    return found


def channel_axis(call: fx.Node) -> int:
    """The axis of a layer's input and output along which their channels lie, counted from 0."""
    return len(shape(call)) - 1 if call.target is LINEAR else 1


def channels(call: fx.Node) -> int:
    """The number of a layer's output channels."""
    return int(shape(call)[channel_axis(call)])


def output_axis(call: fx.Node) -> int | None:
    """The axis of a layer's weight that is its output channels; None where none is, as of a grouped transposed one."""
    if call.target not in TRANSPOSED:
        return 0
    return 1 if groups(call) == 1 else None


def along_outputs(call: fx.Node, k: Tensor) -> Tensor:
    """One number for each output channel, (channels,), shaped so that it multiplies the layer's weight."""
    weight: Tensor = arguments(call)["weight"].meta["val"]
    if call.target not in TRANSPOSED:
        return k.reshape(-1, *[1] * (weight.dim() - 1))
    return _in_blocks(k, groups(call), int(weight.shape[0]), weight.dim())


def along_inputs(call: fx.Node, k: Tensor) -> Tensor:
    """One number for each input channel, (channels,), shaped so that it multiplies the layer's weight."""
    weight: Tensor = arguments(call)["weight"].meta["val"]
    if call.target in TRANSPOSED:
        return k.reshape(-1, *[1] * (weight.dim() - 1))
    return _in_blocks(k, groups(call), int(weight.shape[0]), weight.dim())


def _in_blocks(k: Tensor, groups: int, rows: int, rank: int) -> Tensor:
    """k for the second axis of a weight of that rank: each of the groups has its own part of k, and of the rows."""
    parts = k.reshape(groups, 1, -1).expand(groups, rows // groups, -1)
    return parts.reshape(rows, -1, *[1] * (rank - 2))


def per_output(call: fx.Node, weight: Tensor) -> Tensor:
    """A layer's weight as rows, (output channels, the weights of each)."""
    return _blocks(weight, groups(call)) if call.target in TRANSPOSED else weight.flatten(1)


def per_input(call: fx.Node, weight: Tensor) -> Tensor:
    """A layer's weight as rows, (input channels, the weights that multiply each)."""
    return weight.flatten(1) if call.target in TRANSPOSED else _blocks(weight, groups(call))


def _blocks(weight: Tensor, groups: int) -> Tensor:
    """The weight by its second axis, of which each group of the first one has a part."""
    rows, columns = weight.shape[:2]
    parts = weight.reshape(groups, rows // groups, columns, -1)
    return parts.transpose(1, 2).reshape(groups * columns, -1)
