"""What a graph costs: the multiplications of one sample, and the bytes of the weights that it reads."""

from __future__ import annotations

from torch import fx

from ..compiler.graph import Graph, arguments
from ..compiler.layers import MASKS, channels, is_layer
from ..compiler.operators import EMBEDDING, MATMULS, PADDED_IN_WORDS


def multiplications(given: Graph) -> int:
    """Multiply-accumulates of convolutions, linears and products of matrices for one sample."""
    total = 0
    for node in given.nodes:
        if is_layer(node) or node.target in PADDED_IN_WORDS | MATMULS:
            names = arguments(node)
            weight = names.get("weight") or names.get("mat2") or names["other"]
            out = node.meta["val"]
            outputs = out.shape[-1] if node.target in MATMULS else channels(node)
            total += weight.meta["val"].numel() * out[0].numel() // int(outputs)
    return total


def weight_bytes(given: Graph) -> int:
    """Bytes of the tensors that layers, products of matrices and embeddings read as weights, each tensor once.

    Behind an operand these are the tensors with as many values as it has, or more: scales and factors of norms have
    fewer. Masks are no weights: they tell which are zero.
    """
    constants = given.constants()
    tensors = {}
    for call in given.nodes:
        for operand in _weights(call) & constants:
            for node in _read_for(operand):
                tensor = given.tensor(node)
                if tensor.numel() >= operand.meta["val"].numel() and not str(node.target).startswith(MASKS):
                    tensors[id(tensor)] = tensor
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())


def _weights(call: fx.Node) -> set[fx.Node]:
    """What a call multiplies by or looks up, if it is a constant."""
    if call.target in MATMULS:
        return set(call.all_input_nodes[-2:])  # before them a bias
    multiplies = is_layer(call) or call.target in PADDED_IN_WORDS or call.target is EMBEDDING
    return {arguments(call)["weight"]} if multiplies else set()


def _read_for(operand: fx.Node) -> list[fx.Node]:
    """The nodes of tensors that a constant is computed from."""
    stack, seen = [operand], {operand}
    while stack:
        new = set(stack.pop().all_input_nodes) - seen
        seen |= new
        stack += new
    return [node for node in seen if node.op == "get_attr"]
