"""Calibration: every activation scale set from real data, with the network in float and in eval mode."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, fx, nn

from .errors import UserError
from .graph import Graph, arguments, origin
from .grid import Grid, best_scale
from .modes import evaluated, in_mode

SAMPLES = 1 << 16
"""Values kept of an edge for each batch; more change the scale by less than its step."""

own = torch.ops.lowbit


def calibrate(graph: Graph, batches: Iterable[list[Tensor]]) -> None:
    """Set the scale of every activation grid to the least mean square error over the batches, in place.

    batches: flat inputs each.   Raises UserError when there is no batch.
    """
    edges: dict[Tensor, list[fx.Node]] = {}
    recorders = [_recorder(evaluated(graph), edges)]
    if graph.evaluation is not None:  # there may be edges that only training has
        recorders.append(_recorder(evaluated(replace(graph, evaluation=None)), edges))
    count = 0
    for batch in batches:
        with in_mode(nn.ModuleList(graph.leaves.values()), False):
            for recorder in recorders:
                recorder.run(*batch)
        count += 1
    if not count:
        raise UserError("there is no data to calibrate with", fix="pass an iterable with at least one batch")
    samples = {node: taken for recorder in recorders for node, taken in recorder.samples.items()}
    with torch.no_grad():
        for parameter, nodes in edges.items():
            taken = torch.cat([values for node in nodes for values in samples[node]])
            scale = best_scale(taken, _grid(arguments(nodes[0])))
            parameter.copy_(torch.log2(scale))


def _recorder(graph: Graph, edges: dict[Tensor, list[fx.Node]]) -> _Recorder:
    """A recorder of the graph's activation grids whose scales no other graph has; they join the edges, by scale."""
    fixed = graph.constants()
    new: dict[Tensor, list[fx.Node]] = {}
    for node in graph.nodes:
        scale = _scale_of(graph, node) if node.target is own.fake_quantize.default and node not in fixed else None
        if scale is not None and scale not in edges:
            new.setdefault(scale, []).append(node)
    edges.update(new)
    return _Recorder(graph, [node for nodes in new.values() for node in nodes])


def _scale_of(graph: Graph, node: fx.Node) -> Tensor | None:
    """The parameter that is the logarithm of a grid's scale; None for a scale that is given."""
    scale = arguments(node)["scale"]
    return None if scale.op == "get_attr" else graph.tensor(arguments(scale)["self"])


def _grid(given: Mapping[str, Any]) -> Grid:
    bits = int(given["hi"] - given["lo"]).bit_length()
    return Grid(bits, signed=given["lo"] < 0, narrow=given["lo"] == -given["hi"])


class _Recorder(fx.Interpreter):
    """Runs the graph in float, every grid an identity, and samples what arrives at the chosen ones."""

    def __init__(self, graph: Graph, edges: Iterable[fx.Node]) -> None:
        super().__init__(graph.module())
        self._names = {node.name: node for node in edges}
        self.samples: dict[fx.Node, list[Tensor]] = {node: [] for node in edges}

    @torch.no_grad()
    def run_node(self, n: fx.Node) -> Any:
        if n.target is not own.fake_quantize.default:
            return super().run_node(n)
        args, kwargs = self.fetch_args_kwargs_from_env(n)
        x: Tensor = args[0] if args else kwargs["x"]
        if n.name in self._names:
            flat = x.reshape(-1)
            taken = flat[:: max(1, flat.numel() // SAMPLES)].clone()
            if not torch.isfinite(taken).all():
                fix = "clean the data, or look for an overflow in the model"
                raise UserError("calibration met infinity or not-a-number", where=str(origin(n)), fix=fix)
            self.samples[self._names[n.name]].append(taken)
        return x.clone()  # an in-place call behind it must not reach the caller's data
