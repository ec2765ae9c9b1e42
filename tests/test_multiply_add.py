"""The multiply-add that a lone batch norm leaves, in integers: the exact value, rounded once by the next grid."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from lowbit.api import passes
from lowbit.backends.compiled import Compiled
from lowbit.backends.lowering.lower import lower
from lowbit.compiler.graph import Graph, arguments
from lowbit.compiler.operators import aten, own
from lowbit.compiler.sketches.trial import trial
from torch import Tensor

STEP, OUT = 2.0**-4, 2.0**-6
FACTORS = torch.tensor([1.5, -0.3, 0.0, 1e-9, -1e-4, 40.0])
OFFSETS = torch.tensor([0.013, -2.2, 0.37, -1.7, 3.3, 0.0])
SHAPES = ("input(6,4,4)", "input(6,5)", "input(6,3,2,2)", "input(6,4,4) gap flatten")


def multiply_add(sketch: str, zero: int) -> Graph:
    """Q(k Q(x) + t) with the grids' steps and the first one's zero point set, lowered as `freeze` leaves it."""
    graph = trial(f"{sketch} bn | insert_fake_quant(output_bits=16) | eval | freeze | fold_batch_norm", passes()).graph
    (call,) = (node for node in graph.nodes if node.target is aten.addcmul.default)
    given, state = arguments(call), dict(graph.state)
    for operand, value in ((given["tensor2"], FACTORS), (given["self"], OFFSETS)):
        state[str(operand.target)] = value.double().reshape(state[str(operand.target)].shape)
    for grid in (node for node in graph.nodes if node.target is own.fake_quantize.default):
        step = OUT if grid in call.users else STEP
        state[str(arguments(grid)["scale"].target)] = torch.tensor([step], dtype=torch.float64)
        if grid is given["tensor1"]:
            grid.kwargs = {**grid.kwargs, "zero": zero}
    return replace(graph, state=state)


def exact(q: Tensor, zero: int) -> tuple[Tensor, Tensor]:
    """(the steps of the output, by how many they may be off: 2^-21 of a step of the input, 2^-23 of themselves)."""
    k, t = (v.double().reshape(-1, *[1] * (q.dim() - 2)) for v in (FACTORS, OFFSETS))
    steps = (k * (q - zero) * STEP + t) / OUT
    return steps, (k.abs() * STEP / OUT) * 2**-21 + steps.abs() * 2**-23


@pytest.mark.parametrize("zero", [0, 100])
@pytest.mark.parametrize("sketch", SHAPES)
def test_integers_are_the_exact_value_rounded(sketch: str, zero: int) -> None:
    graph = multiply_add(sketch, zero if "gap" not in sketch else 0)
    zero = zero if "gap" not in sketch else 0
    compiled = Compiled(lower(graph.select(outputs=(_read(graph), *graph.outputs))))
    sizes = [int(size) for size in graph.inputs[0].meta["val"].shape[1:]]
    x = np.random.default_rng(0).integers(-128, 128, (200, *sizes))
    for target in ("interpreter", "numpy"):
        q, out = (torch.as_tensor(value).double() for value in compiled.run_integers(x, target=target))
        steps, off = exact(q, zero)
        least, most = ((steps + sign * off + 0.5).floor().clamp(-(2**15), 2**15 - 1) for sign in (-1, 1))
        assert bool(((least <= out) & (out <= most)).all())


def _read(graph: Graph) -> torch.fx.Node:
    """The grid that the multiply-add reads."""
    (call,) = (node for node in graph.nodes if node.target is aten.addcmul.default)
    read: torch.fx.Node = arguments(call)["tensor1"]
    return read
