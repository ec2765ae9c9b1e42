"""Graphs run in float64: everything that can be seen of a run, and slopes by central differences."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import torch
from lowbit.compiler.graph import Graph, arguments
from torch import Tensor, fx

_aten, _own = torch.ops.aten, torch.ops.lowbit
RESAMPLED = 1
"""Names a second, equal capture of every network."""


def inputs(graph: Graph) -> list[Tensor]:
    """A batch of 3 for every input, with exact zeros and halves among the values."""
    generator = torch.Generator().manual_seed(1)
    shapes = [node.meta["val"].shape[1:] for node in graph.inputs]
    drawn = [torch.randn(3, *shape, generator=generator, dtype=torch.float64) for shape in shapes]
    return [torch.where(x.abs() < 0.3, (x * 20).round() / 2, x) for x in drawn]


class Watched(fx.Interpreter):
    """Runs a graph over a copy of its tensors. rounding: whether grids round.   held: values that replace detach."""

    def __init__(self, graph: Graph, rounding: bool = True) -> None:
        super().__init__(copy.deepcopy(graph.module()))
        self.rounding, self.held, self.holding = rounding, dict[str, Tensor](), False
        self.edges: list[tuple[str, Tensor, Tensor, Tensor]] = []

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

    def seeded(self, graph: Graph) -> tuple[Any, Any, Any]:
        """(outputs, penalties, updates) on the inputs above."""
        self.edges.clear()
        torch.manual_seed(0)
        outputs, penalties, updates = self.run(*inputs(graph))
        return outputs, penalties, updates


def values(graph: Graph) -> list[Tensor]:
    """The outputs."""
    with torch.no_grad():
        return list(Watched(graph).seeded(graph)[0])


def observe(graph: Graph, rounding: bool = True) -> dict[str, Tensor]:
    """Outputs, gradients of a random sum of them, and buffers after the run, by name."""
    runner = Watched(graph, rounding)
    outputs = runner.seeded(graph)[0]
    seen = {f"output {i}": out.detach() for i, out in enumerate(outputs)}
    loss = sum((out * torch.rand(out.shape, dtype=out.dtype)).sum() for out in outputs if out.requires_grad)
    if isinstance(loss, Tensor):
        loss.backward()
    module = runner.module
    seen |= {f"gradient {name}": p.grad for name, p in module.named_parameters() if p.grad is not None}
    return seen | {f"buffer {name}": buffer for name, buffer in module.named_buffers()}


def rounded(graph: Graph) -> Iterator[tuple[fx.Node, Tensor, Tensor, Tensor]]:
    """(grid, what arrives, what leaves, the scale shaped to broadcast) of every grid."""
    runner = Watched(graph)
    with torch.no_grad():
        runner.seeded(graph)
    nodes = {node.name: node for node in graph.nodes}
    for name, x, y, scale in runner.edges:
        axis = arguments(nodes[name])["axis"]
        yield nodes[name], x, y, scale.reshape([-1 if i == axis else 1 for i in range(x.dim())]) if scale.numel() > 1 else scale


def penalty_slope(graph: Graph, exponent: int = 20) -> tuple[float, float, float]:
    """(gradient along a random direction, central difference, the bound of their distance) of all penalties.

    What is detached is held at its value. The penalties are quadratic between the ties of a rounding, so that a
    difference over h = 2^-exponent is exact but for its own rounding, 2^-52 / h for each of the sums, and for h^2
    from the exponentials of scales and coefficients.
    """
    runner = Watched(graph)
    parameters = [p for p in runner.module.parameters() if p.requires_grad]
    generator = torch.Generator().manual_seed(2)
    ways = [torch.randn(p.shape, generator=generator, dtype=p.dtype) for p in parameters]
    total = sum(runner.seeded(graph)[1])
    grads = torch.autograd.grad(total, parameters, allow_unused=True)
    slope = sum(float((g * way).sum()) for g, way in zip(grads, ways, strict=True) if g is not None)
    runner.holding = True
    ends = [_moved(runner, graph, parameters, ways, sign * 2.0**-exponent) for sign in (1, -1)]
    bound = 2.0 ** (exponent - 52) * 64 * (1 + abs(float(total)))
    return slope, (ends[0] - ends[1]) * 2.0 ** (exponent - 1), bound


def _moved(runner: Watched, graph: Graph, parameters: list[Tensor], ways: list[Tensor], step: float) -> float:
    with torch.no_grad():
        before = [p.clone() for p in parameters]
        for p, way in zip(parameters, ways, strict=True):
            p.add_(way, alpha=step)
        total = float(sum(runner.seeded(graph)[1]))
        for p, old in zip(parameters, before, strict=True):
            p.copy_(old)
    return total
