"""Runs of a prepared graph that keep what its nodes give: in float, on its grids, and fed the program's integers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, fx
from torch.utils import _pytree as pytree

from ...compiler.correction import corrections
from ...compiler.graph import Graph, arguments
from ...compiler.grid import quantize
from ...compiler.grids.unrounded import Unrounded
from .pairs import GRID, Pair


class InFloat(Unrounded):
    """Runs a graph without any rounding, nothing making up for it.   seen: what each of the chosen nodes gives."""

    def __init__(self, graph: Graph, chosen: Mapping[str, Pair]) -> None:
        super().__init__(_uncorrected(graph).module())
        self._chosen, self.seen = chosen, dict[str, Tensor]()
        self.outputs: Sequence[Tensor] = ()

    def give(self, flat: Sequence[Any]) -> None:
        """Run it on flat inputs."""
        self.outputs = [y.cpu() for y in self.run(*_apart(flat))[0]]

    def run_node(self, n: fx.Node) -> Any:
        y = super().run_node(n)
        if n.name in self._chosen:
            self.seen[n.name] = y.cpu().clone()  # a call in place may come behind it
        return y


class OnGrids(fx.Interpreter):
    """Runs a graph as it is, in its own floats.   seen: the integers of each of the chosen nodes."""

    def __init__(self, graph: Graph, chosen: Mapping[str, Pair]) -> None:
        super().__init__(graph.module())
        self._chosen, self.seen = chosen, dict[str, Tensor]()
        self.outputs: Sequence[Tensor] = ()

    def give(self, flat: Sequence[Any]) -> None:
        """Run it on flat inputs."""
        self.outputs = [y.cpu() for y in self.run(*_apart(flat))[0]]

    @torch.no_grad()
    def run_node(self, n: fx.Node) -> Any:
        y = super().run_node(n)
        if n.name in self._chosen:
            self.seen[n.name] = self._chosen[n.name].integers(y.cpu())
        return y


class Fed(fx.Interpreter):
    """Runs a graph so that each node is fed the program's integers.   seen: the integers that the chosen ones make.

    What lies between two grids is computed in float64, so that no difference is one of the order of a sum. Weights and
    scales are those of the model, to the bit.
    """

    def __init__(self, graph: Graph, chosen: Mapping[str, Pair]) -> None:
        super().__init__(graph.module())
        self._chosen, self._fixed = chosen, {node.name for node in graph.constants()}
        self._integers: Mapping[str, Tensor] = {}
        self.seen = dict[str, Tensor]()

    def met(self, grid: fx.Node, steps: Tensor) -> None:
        """Told what arrives at each of the chosen grids, in its steps."""

    def give(self, flat: Sequence[Any], integers: Mapping[str, Tensor]) -> None:
        """Run it on flat inputs.   integers: what the program has for each of the chosen nodes, by name."""
        self._integers = integers
        self.run(*_apart(flat))

    @torch.no_grad()
    def run_node(self, n: fx.Node) -> Any:
        if n.name not in self._chosen:
            return super().run_node(n)
        pair = self._chosen[n.name]
        found = self._rounded(n) if n.target is GRID else pair.integers(super().run_node(n))
        self.seen[n.name] = found.cpu()
        return pair.real(self._integers[n.name].reshape(found.shape).to(found.device))

    def fetch_args_kwargs_from_env(self, n: fx.Node) -> Any:
        """The arguments; in float64 what comes from an input."""
        given = super().fetch_args_kwargs_from_env(n)
        if n.name in self._fixed or n.op == "output":
            return given
        return pytree.tree_map_only(Tensor, lambda x: x.double() if x.is_floating_point() else x, given)

    def _rounded(self, n: fx.Node) -> Tensor:
        """The integers of a grid: rounded in the type of the model where that holds the value, exactly elsewhere."""
        given = {name: self.env.get(value, value) for name, value in arguments(n).items()}
        x, scale = given["x"], given["scale"]
        rest = [given[name] for name in ("zero", "lo", "hi", "axis", "odd")]
        held = x.to(n.meta["val"].dtype)
        self.met(n, x.double() / scale.double())
        return torch.where(held == x, quantize(held, scale, *rest).double(), quantize(x, scale.double(), *rest))


def _apart(flat: Sequence[Any]) -> list[Any]:
    """Copies, since a call in place may come first."""
    return [x.clone() if isinstance(x, Tensor) else x for x in flat]


def _uncorrected(graph: Graph) -> Graph:
    """The graph with corrections of zero, which belong to its rounding."""
    zeros = {str(node.target): torch.zeros_like(graph.tensor(node)) for node in corrections(graph).values()}
    return replace(graph, state={**graph.state, **zeros})
