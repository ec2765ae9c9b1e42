"""Networks under pruning passes: recipes that prune, trainings that move masked weights too, masks and integers."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from lowbit import Prepared
from lowbit.compiler.graph import Graph, arguments
from lowbit.compiler.layers import MASKS, is_layer
from lowbit.compiler.masks.placement import layers_of
from prepared import batch
from torch import Tensor

STEPS = 20
SKETCH = "input(4,6,6) conv(8) bn relu [ conv(8) bn relu conv(8) bn ] + relu conv(8,groups=8) relu gap linear(3)"
GRIDS = '{use = "insert_fake_quant", weight_bits = 16}'


def recipe(*uses: str, fold: bool = True) -> str:
    """TOML of these passes, each `NAME KEY = VALUE, ...`, before the fold and the grids; no unit goes in the end."""
    own = [
        f'{{use = "{name}"{", " if options else ""}{options}}}' for name, _, options in (u.partition(" ") for u in uses)
    ]
    simulated = ['{use = "simulate_fold"}'] * fold
    prepare = ", ".join([*own, *simulated, GRIDS])
    return f'\nprepare = [{prepare}]\nlower = [{{use = "freeze"}}, {{use = "fold_batch_norm"}}]'


def trained(ours: Prepared, last: int = STEPS, first: int = 0, each: Callable[[int], None] = lambda step: None) -> None:
    """Steps with much momentum and weight decay, which move masked weights too."""
    torch.manual_seed(first)
    opt = torch.optim.SGD(ours.parameter_groups(lr=0.1, weight_decay=0.05), momentum=0.9)
    ours.train()
    for step in range(first, last):
        x, y = batch(SKETCH, seed=step)
        opt.zero_grad()
        (F.cross_entropy(ours(x), y) + ours.regularization()).backward()
        opt.step()
        ours.step()
        each(step + 1)


def masks(ours: Prepared) -> dict[str, Tensor]:
    return {name: mask for name, mask in ours.named_buffers() if name.startswith(MASKS)}


def full(ours: Prepared) -> dict[str, Tensor]:
    """Of each weight of a layer the product of its masks, in its own shape."""
    found: dict[str, Tensor] = {}
    for weight in layers_of(ours.graph):
        own = [mask for name, mask in masks(ours).items() if name.startswith(f"{MASKS}{weight.target}")]
        value = ours.get_parameter(str(weight.target))
        found[str(weight.target)] = (
            torch.stack([mask.expand(value.shape) for mask in own]).prod(0) if own else value * 0 + 1
        )
    return found


def codes(graph: Graph) -> Iterator[Tensor]:
    """The integers of the weights of a frozen graph, in its order."""
    for node in graph.nodes:
        if is_layer(node):
            yield graph.tensor(arguments(arguments(node)["weight"])["codes"])
