"""Calibration, in eval mode: every activation scale set from real data with the network in float; then corrections."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, fx, nn

from .arguments import Sizes
from .callers import batch
from .correction import clear, correct, corrections
from .errors import UserError
from .graph import Graph, arguments, fixed, origin, schema_arguments, shape
from .grid import Grid
from .grids.divisors import SMALL
from .grids.scales import trained, value
from .grids.unrounded import Unrounded
from .modes import evaluated, in_mode
from .observers import Method, chosen

own = torch.ops.lowbit
_BATCH_NORM = torch.ops.aten.batch_norm.default


def calibrate(
    graph: Graph,
    batches: Iterable[list[Tensor]],
    report: Callable[[str, int], None] = lambda stage, done: None,
    method: str = "mse",
) -> None:
    """Set the scale of every activation grid from what arrives there over the batches, then correct biases.

    batches: flat inputs each; a graph with corrections keeps them, and runs each three times.
    method: see `observers`; "mse" gives the least mean square error.
    report: told the stage and the number of batches done.   Raises UserError when there is no batch, or one without
    an example.
    """
    derived = evaluated(graph)
    clear(derived)
    kept: list[list[Tensor]] | None = [] if corrections(derived) else None
    counted = _counted(batches, kept, lambda done: report("calibrating", done))
    _scales(graph, derived, counted, chosen(method, "method"))
    if kept is not None:
        with in_mode(nn.ModuleList(graph.leaves.values()), False):
            correct(derived, kept, lambda done: report("correcting biases", done))


def calibrated(graph: Graph) -> set[str]:
    """The names of all tensors that `calibrate` sets."""
    return {*_edges(graph).values(), *(str(node.target) for node in corrections(graph).values())}


def _edges(graph: Graph) -> dict[fx.Node, str]:
    """The grids of activations whose scales are trained, with the names of those."""
    constants = graph.constants()
    grids = [node for node in graph.nodes if node.target is own.fake_quantize.default and node not in constants]
    return {node: name for node in grids if (name := trained(node))}


def _counted(
    batches: Iterable[list[Tensor]], kept: list[list[Tensor]] | None, report: Callable[[int], None]
) -> Iterator[list[Tensor]]:
    """The batches, told when they are done, and kept where they are needed again."""
    for done, given in enumerate(batches, 1):
        if not all(x.numel() for x in given if isinstance(x, Tensor)):
            raise UserError(f"batch {done} to calibrate with holds no example", fix="leave it out")
        if kept is not None:
            kept.append(given)
        yield given
        report(done)


def _scales(graph: Graph, derived: Graph, batches: Iterable[list[Tensor]], method: Method) -> None:
    edges: dict[Tensor, list[fx.Node]] = {}
    recorders = [_recorder(derived, edges, method.keep)]
    if graph.evaluation is not None:  # there may be edges that only training has
        recorders.append(_recorder(evaluated(replace(graph, evaluation=None)), edges, method.keep))
    count = 0
    for count, given in enumerate(batches, 1):
        with in_mode(nn.ModuleList(graph.leaves.values()), False), batch(count, partial(_forms, graph, given)):
            for recorder in recorders:
                recorder.run(*given)
    if not count:
        raise UserError("there is no data to calibrate with", fix="pass an iterable with at least one batch")
    kept = {node: taken for recorder in recorders for node, taken in recorder.kept.items()}
    with torch.no_grad():
        for parameter, nodes in edges.items():
            scale = method.scale([kept[node] for node in nodes], _grid(arguments(nodes[0])))
            parameter.copy_(value(nodes[0], scale))


def _forms(graph: Graph, given: list[Any]) -> str:
    """The types and shapes that were given, and those of the capture."""
    pairs = [(x, node) for x, node in zip(given, graph.inputs, strict=True) if isinstance(x, Tensor)]
    forms = [f"{_type(x)} {tuple(x.shape)}" for x, _ in pairs]
    captured = [f"{_type(node.meta['val'])} {Sizes(map(fixed, shape(node)))}" for _, node in pairs]
    return f"given {', '.join(forms)}; captured with {', '.join(captured)}"


def _type(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _recorder(graph: Graph, edges: dict[Tensor, list[fx.Node]], keep: Callable[[Tensor], Tensor]) -> _Recorder:
    """A recorder of the graph's activation grids whose scales no other graph has; they join the edges, by scale."""
    new: dict[Tensor, list[fx.Node]] = {}
    for node, name in _edges(graph).items():
        if (scale := graph.state[name]) not in edges:
            new.setdefault(scale, []).append(node)
    edges.update(new)
    return _Recorder(graph, [node for nodes in new.values() for node in nodes], keep)


def _grid(given: Mapping[str, Any]) -> Grid:
    bits = int(given["hi"] - given["lo"]).bit_length()
    return Grid(bits, signed=given["lo"] < 0, narrow=given["lo"] in (1, -given["hi"]), zero=given["zero"])


def _is_new(norm: Mapping[str, Any]) -> bool:
    """Whether the running statistics of a norm in inference are still those it was made with."""
    x, mean, var = (norm[name] for name in ("input", "running_mean", "running_var"))
    several = x.numel() > x.shape[1]  # values a channel, without which there are no statistics
    return not norm["training"] and several and not bool(mean.any()) and bool((var == 1).all())


class _Recorder(Unrounded):
    """Runs the graph in float and keeps something of what arrives at the chosen grids."""

    def __init__(self, graph: Graph, edges: Iterable[fx.Node], keep: Callable[[Tensor], Tensor]) -> None:
        super().__init__(graph.module())
        self._keep, self._names = keep, {node.name: node for node in edges}
        self.kept: dict[fx.Node, list[Tensor]] = {node: [] for node in edges}

    def call_function(self, target: Any, args: Any, kwargs: Any) -> Any:
        """A norm that has met no data yet takes the statistics of the batch, as it will in training."""
        if target is not _BATCH_NORM:
            return super().call_function(target, args, kwargs)
        names = [name for name, _ in schema_arguments(target)]
        given = {**dict(zip(names, args, strict=False)), **kwargs}
        if _is_new(given):
            given.update(training=True, momentum=0.0)  # which leaves the running ones as they are
        return target(**given)

    def met(self, grid: fx.Node, x: Tensor) -> None:
        if grid.name not in self._names:
            return
        taken = self._keep(x)
        if not torch.isfinite(taken).all():
            fix = "clean the data, or look for an overflow in the model"
            raise UserError("calibration met infinity or not-a-number", where=str(origin(grid)), fix=fix)
        given = arguments(self._names[grid.name])
        if given["lo"] > given["zero"] and bool((x < 0).any()):
            raise UserError(
                "what others are divided by is negative",
                where=str(origin(grid)),
                why=f"a sum with at most {SMALL:g} was taken to be never so; there is {float(x.min()):g}",
                fix="divide by its magnitude, and multiply by its sign",
            )
        self.kept[self._names[grid.name]].append(taken)
