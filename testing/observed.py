"""Graphs run in float64: everything that can be seen of a run, and slopes by central differences."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, fx, nn

from ..compiler.graph import Graph, arguments
from ..compiler.grid import along
from ..compiler.penalty import named

_aten, _own = torch.ops.aten, torch.ops.lowbit


def inputs(graph: Graph, ties: bool = True) -> list[Tensor]:
    """A batch of 3 for every input; with zeros and halves among the values if there may be ties."""
    generator = torch.Generator().manual_seed(1)
    shapes = [node.meta["val"].shape[1:] for node in graph.inputs]
    drawn = [torch.randn(3, *shape, generator=generator, dtype=torch.float64) for shape in shapes]
    return [torch.where(x.abs() < 0.3, (x * 20).round() / 2, x) for x in drawn] if ties else drawn


class Watched(fx.Interpreter):
    """Runs a graph over a copy of its tensors. rounding: whether grids round.   holding: detach gives what it gave."""

    def __init__(self, graph: Graph, rounding: bool = True, ties: bool = True) -> None:
        own = copy.deepcopy((dict(graph.state), dict(graph.leaves)))  # together: they may share
        root = nn.Module()
        replace(graph, state=own[0], leaves=own[1]).install(root)
        super().__init__(root, graph=graph.fx)
        self.rounding, self.holding, self.held = rounding, False, dict[str, Tensor]()
        self.edges: list[tuple[str, Tensor, Tensor, Tensor]] = []
        self.given = inputs(graph, ties)

    def run_node(self, n: fx.Node) -> Any:
        args, kwargs = self.fetch_args_kwargs_from_env(n)
        if n.target is _aten.detach.default:
            if not self.holding:
                self.held[n.name] = super().run_node(n).clone()
            return self.held[n.name]
        if n.target is not _own.fake_quantize.default:
            return super().run_node(n)
        x, scale, *_ = (*args, *kwargs.values())
        y = super().run_node(n) if self.rounding else x
        self.edges.append((n.name, x.detach().clone(), y.detach().clone(), scale.detach()))
        return y

    def seeded(self) -> tuple[list[Tensor], list[Tensor], dict[str, Tensor]]:
        """(outputs, terms of the penalties, updates)."""
        self.edges.clear()
        torch.manual_seed(0)
        outputs, penalties, updates = self.run(*(x.clone() for x in self.given))
        return outputs, [penalty.term for penalty in named(penalties).values()], updates


class Raised(Watched):
    """Watches a graph in which some nodes give no value below a floor."""

    def __init__(self, graph: Graph, floors: Mapping[str, Tensor]) -> None:
        super().__init__(graph)
        self._floors = floors

    def run_node(self, n: fx.Node) -> Any:
        y = super().run_node(n)
        return torch.maximum(y, self._floors[n.name]) if n.name in self._floors else y


def values(graph: Graph, floors: Mapping[str, Tensor] | None = None) -> list[Tensor]:
    """The outputs.   floors: by node name, what its value is raised to where it is lower."""
    with torch.no_grad():
        return Raised(graph, floors or {}).seeded()[0]


def observe(graph: Graph, rounding: bool = True) -> dict[str, Tensor]:
    """Outputs, gradients of a random sum of them, and buffers after the run, by name."""
    runner = Watched(graph, rounding)
    outputs = runner.seeded()[0]
    seen = {f"output {i}": out.detach() for i, out in enumerate(outputs)}
    loss = sum((out * torch.rand(out.shape, dtype=out.dtype)).sum() for out in outputs if out.requires_grad)
    if isinstance(loss, Tensor):
        loss.backward()  # type: ignore[no-untyped-call]
    module = runner.module
    seen |= {f"gradient {name}": p.grad for name, p in module.named_parameters() if p.grad is not None}
    return seen | {f"buffer {name}": buffer for name, buffer in module.named_buffers()}


class Fed(Watched):
    """Watches a graph in which grids give what another one's gave, by their names."""

    def __init__(self, graph: Graph, given: Mapping[str, Tensor]) -> None:
        super().__init__(graph)
        self._given = given

    def run_node(self, n: fx.Node) -> Any:
        y = super().run_node(n)
        return self._given.get(n.name, y)


def rounded(
    graph: Graph, given: Mapping[str, Tensor] | None = None
) -> Iterator[tuple[fx.Node, Tensor, Tensor, Tensor]]:
    """(grid, what arrives, what leaves, the scale shaped to broadcast) of every grid.

    given: by name of a grid, what leaves it whatever arrives.
    """
    runner = Fed(graph, given or {})
    with torch.no_grad():
        runner.seeded()
    nodes = {node.name: node for node in graph.nodes}
    for name, x, y, scale in runner.edges:
        yield nodes[name], x, y, along(scale, x.dim(), arguments(nodes[name])["axis"])


def penalty_slope(graph: Graph) -> tuple[float, float, float]:
    """(gradient along a random direction, central difference, the bound of their distance) of all penalties.

    What is detached is held at its value. Between two ties of a rounding the penalties are quadratic, so a difference
    over h = 2^-26 is exact but for h^2 from exponentials and for its own rounding: 2^-52 / h of a penalty, and 2^8
    times as much where a distance of half a step is taken from a value of up to 2^7 steps.
    """
    runner = Watched(graph, ties=False)
    parameters = [p for p in runner.module.parameters() if p.requires_grad]
    generator = torch.Generator().manual_seed(2)
    ways = [torch.randn(p.shape, generator=generator, dtype=p.dtype) for p in parameters]
    _move(parameters, ways, 2.0**-4)  # from where it was made: averages of integers lie on ties of a scale of 1
    penalties = runner.seeded()[1]
    grads = torch.autograd.grad(penalties, parameters, allow_unused=True)
    slope = sum(float((g * way).sum()) for g, way in zip(grads, ways, strict=True) if g is not None)
    runner.holding = True
    ends = [_ahead(runner, parameters, ways, sign * 2.0**-26) for sign in (1, -1)]
    bound = 2.0 ** (8 + 26 - 52) * sum(abs(float(penalty.detach())) for penalty in penalties)
    return slope, (ends[0] - ends[1]) * 2.0**25, bound


def _ahead(runner: Watched, parameters: list[nn.Parameter], ways: list[Tensor], step: float) -> float:
    """The sum of the penalties a step ahead."""
    before = [p.detach().clone() for p in parameters]
    _move(parameters, ways, step)
    with torch.no_grad():
        total = float(sum(runner.seeded()[1]))
        for p, old in zip(parameters, before, strict=True):
            p.copy_(old)
    return total


@torch.no_grad()
def _move(parameters: list[nn.Parameter], ways: list[Tensor], step: float) -> None:
    for p, way in zip(parameters, ways, strict=True):
        p.add_(way, alpha=step)
