"""Pairs: which value of the integer program stands for which node of the prepared graph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, fx

from ...compiler.arrays import Integers
from ...compiler.graph import Graph
from ..fixed.program import Program
from ..lowering.batch import placed
from ..lowering.heirs import heirs
from ..lowering.lower import linked
from ..lowering.real import Codes, Laid, Lowered, Real
from ..target import targets

GRID = torch.ops.lowbit.fake_quantize.default


@dataclass(frozen=True, eq=False)
class Pair:
    """A node and the value of the program that stands for it: real = scale * (q - zero), lo <= q <= hi.

    node: of the prepared graph in eval mode; a grid, or an output of the model.   laid: where its batch is not first.
    """

    node: fx.Node
    value: int
    scale: float
    zero: int
    lo: int
    hi: int
    laid: Laid | None = None

    @property
    def divides(self) -> bool:
        """Whether its grid has no zero, since others are divided by it."""
        return self.lo > self.zero

    def placed(self, integers: Integers) -> Integers:
        """The integers of the program in the shape that the node has them in."""
        return integers if self.laid is None else placed(self.laid, integers)

    def integers(self, real: Tensor) -> Tensor:
        """The integers, in float64, of real values that lie on the grid."""
        return (real.double() / self.scale).round() + self.zero

    def real(self, integers: Tensor) -> Tensor:
        """What integers stand for, in float64."""
        return (integers.double() - self.zero) * self.scale


@dataclass(frozen=True, eq=False)
class Paired:
    """A program beside the prepared graph that it was made of.

    graph: in eval mode.   pairs: in its order.   takes: for each input of the graph, whether the program has it.
    alone: values of the program on a grid that no node of the graph is known for.
    powers_of_two: whether all scales are, so that not one code may differ.
    """

    graph: Graph
    program: Program
    pairs: tuple[Pair, ...]
    takes: tuple[bool, ...]
    alone: tuple[int, ...]
    powers_of_two: bool

    def run(self, inputs: Sequence[Integers], target: str) -> tuple[dict[str, Tensor], list[Integers]]:
        """The integers of every pair by the name of its node, and the outputs.   inputs: integers of the program."""
        wanted = {pair.value for pair in self.pairs}
        held = {port.value: x for port, x in zip(self.program.inputs, inputs, strict=True)}

        def keep(value: int, integers: Integers) -> None:
            if value in wanted:
                held[value] = integers.astype(np.int32)  # which every value fits

        outputs = targets()[target].run(self.program, inputs, keep)
        return {pair.node.name: torch.as_tensor(pair.placed(held[pair.value])) for pair in self.pairs}, outputs


def paired(graph: Graph, frozen: Graph) -> Paired:
    """The program of a frozen graph with the nodes that its values stand for.

    graph: as prepared, in eval mode, marked.   frozen: what passes made of it without moving any channel.
    """
    program, became = linked(frozen)
    found, wanted = heirs(graph, frozen), set(graph.outputs)
    pairs = tuple(
        pair
        for node in graph.nodes
        if (node.target is GRID or node in wanted) and (pair := _pair(program, node, became.get(found.get(node, node))))
    )
    values = {pair.value for pair in pairs}
    reals = [became[node] for node in frozen.nodes if node.target is GRID]
    alone = tuple(real.value for real in reals if isinstance(real, Real) and real.value not in values)
    takes = tuple(node in became for node in frozen.inputs)
    return Paired(graph, program, pairs, takes, alone, all(map(_power_of_two, became.values())))


def _power_of_two(lowered: Lowered) -> bool:
    """Whether all scales of a value, or of a weight, are powers of two; what is rounded later has none of its own."""
    lowered = lowered.value if isinstance(lowered, Laid) else lowered
    return not isinstance(lowered, (Real, Codes)) or bool((np.frexp(lowered.scale)[0] == 0.5).all())


def _pair(program: Program, node: fx.Node, real: Lowered | None) -> Pair | None:
    laid = real if isinstance(real, Laid) else None
    real = real if laid is None else laid.value
    if not isinstance(real, Real) or real.wide or real.scale.size > 1:
        return None
    range = program.values[real.value].range
    return Pair(node, real.value, float(real.scale[0]), real.zero, range.lo, range.hi, laid)
