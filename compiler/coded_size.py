"""How many bytes a model in training would be, cheaply: the entropy of its codes, and what a file adds to them.

    bytes = sum over weights of min(n H / 8 + symbols, n b / 8) + 4, + 2 a bias + 3 a scale + 20 a layer + 64
    H = -sum p log2 p of the codes of one weight tensor, in bits;   b = the bits of max - min

H is what an entropy coder needs that knows the frequencies; `symbols` is the table that tells them; b is for those that
packing serves better. Context mixing, which looks at neighbours too, takes up to a tenth less of weights that are far
from random; to know would be to run it. The rest is what files of small networks were seen to hold beside their
weights. Units that a later pass would remove still count.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .graph import Graph, arguments
from .grid import quantize
from .layers import weight_of
from .operators import own

HEAD, BIAS, SCALE, LAYER, FILE = 4, 2, 3, 20, 64


@dataclass(frozen=True)
class Size:
    """Of the weights that are on a grid.   zeros, weights: how many.   bytes: the estimate for the whole file."""

    zeros: int
    weights: int
    bytes: float


@torch.no_grad()
def size(graph: Graph) -> Size:
    """What the model's weights would take now. The graph holds the present state, as that of a Prepared does."""
    zeros = weights = 0
    total = float(FILE)
    for name, (codes, zero, scales) in _codes(graph).items():
        values, counts = torch.unique(codes, return_counts=True)
        packed = codes.numel() * int(values[-1] - values[0]).bit_length() / 8
        zeros, weights = zeros + int((codes == zero).sum()), weights + codes.numel()
        biases = graph.state[name].shape[0]
        total += min(entropy(counts) / 8 + len(counts), packed) + HEAD + BIAS * biases + SCALE * scales + LAYER
    return Size(zeros, weights, total)


def entropy(counts: Tensor) -> float:
    """Bits that an ideal coder needs for values that occur so often, together."""
    counts = counts[counts > 0].double()
    return float((counts * (counts.sum().log2() - counts.log2())).sum())


def _codes(graph: Graph) -> dict[str, tuple[Tensor, int, int]]:
    """Name of each weight on a grid -> its integers, their zero, and how many scales it has."""
    found = {}
    for node in graph.nodes:
        weight = weight_of(node) if node.target is own.fake_quantize.default else None
        if weight is None or str(weight.target) in found:
            continue
        given = arguments(node)
        x, scale = graph.evaluate(given["x"]), graph.evaluate(given["scale"])
        grid = {name: given[name] for name in ("zero", "lo", "hi", "axis", "odd")}
        found[str(weight.target)] = quantize(x, scale, **grid), given["zero"], scale.numel()
    return found
