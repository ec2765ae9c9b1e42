"""What a graph costs: the multiplications of one sample, and the bytes of the weights that it reads."""

from __future__ import annotations

from torch import Tensor, fx

from ..compiler.graph import Graph, arguments
from ..compiler.inspection.macs import macs
from ..compiler.layers import is_layer
from ..compiler.operators import EMBEDDING, MATMULS, PADDED_IN_WORDS


def multiplications(given: Graph) -> int:
    """Multiply-accumulates of layers and products of matrices for one sample; no symbolic size is settled by it."""
    return sum(macs(given).values())


def weight_bytes(given: Graph) -> int:
    """Bytes of the tensors that layers, products of matrices and embeddings read as weights, each tensor once.

    A weight is what stands first in the calls that an operand is computed by; the others scale it, mask it, move it.
    """
    constants = given.constants()
    operands = {operand for call in given.nodes for operand in _weights(call) & constants}
    tensors = {id(tensor): tensor for operand in operands for tensor in _first(given, operand)}
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())


def _weights(call: fx.Node) -> set[fx.Node]:
    """What a call multiplies by or looks up, if it is a constant."""
    if call.target in MATMULS:
        return set(call.all_input_nodes[-2:])  # before them a bias
    multiplies = is_layer(call) or call.target in PADDED_IN_WORDS or call.target is EMBEDDING
    return {arguments(call)["weight"]} if multiplies else set()


def _first(given: Graph, operand: fx.Node) -> list[Tensor]:
    """The tensor that a constant is made of; none where it is made of numbers."""
    while operand.op != "get_attr" and operand.all_input_nodes:
        operand = operand.all_input_nodes[0]
    return [given.tensor(operand)] if operand.op == "get_attr" else []
