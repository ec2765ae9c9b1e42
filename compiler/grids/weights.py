"""The grids of weights: of what width, along which axis, and which quantizers and factors they go with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from torch import fx

from ..errors import UserError
from ..graph import arguments, layer, origin
from ..grid import Grid
from ..layers import MASKS, is_transform, weight_name, weight_of, weights_read
from ..operators import GRIDS, aten
from ..quantizer import Edge, Quantizer
from ..quantizing import quantizer
from .placement import SCALES, Known


def weights(known: Known) -> Mapping[str, Edge]:
    """The edges of all weights; the table of an embedding is one."""
    calls: dict[fx.Node, list[tuple[fx.Node, int | None]]] = {}
    for node in known.graph.nodes:
        for weight, axis in weights_read(node, known.constants):
            if weight.target not in GRIDS:
                calls.setdefault(weight, []).append((node, axis))
    return {weight.name: _weight_edge(known, weight, read) for weight, read in calls.items()}


def _weight_edge(known: Known, weight: fx.Node, calls: list[tuple[fx.Node, int | None]]) -> Edge:
    chosen = known.options(layer(weight_of(weight) or calls[0][0]))
    axes = {axis for _, axis in calls}
    axis = axes.pop() if chosen.per_channel and len(axes) == 1 else None
    ends = [chosen.first_bits] * any(call in known.ends.first for call, _ in calls)
    ends += [chosen.last_bits] * any(call in known.ends.last for call, _ in calls)
    bits = max((bits for bits in ends if bits is not None), default=chosen.weight_bits)
    how = quantizer(chosen.weights)
    if any(ends) and not how.least <= bits <= how.most:
        how = quantizer("learned")
    grid = how.weight_grid(bits)
    _check(weight, how, chosen, grid, calls[0][0])
    scale = how.start(known.graph.evaluate(weight), grid, axis)
    name = f"{SCALES}.weights.{weight_name(weight, calls[0][0])}"
    return Edge(name, scale, grid, how, chosen, axis=axis, owned=True, straight=how.straight)


def _check(weight: fx.Node, how: Quantizer, chosen: Any, grid: Grid, call: fx.Node) -> None:
    """Raises UserError for a grid that the quantizer, or what the weight is multiplied by, does not go with."""
    where = str(origin(call))
    if not how.least <= grid.bits <= how.most:
        what = f"'{chosen.weights}' quantizes weights to {_span(how)}, not {grid.bits}"
        raise UserError(what, where=where, fix="choose another width, or another quantizer")
    factors = list(_factors(weight))
    if grid.odd and any(str(factor.target).startswith(MASKS) for factor in factors):
        raise UserError(
            "a pruned weight is on a grid without a zero",
            where=where,
            why=f"'{chosen.weights}' at {grid.bits} bits has the odd multiples of a scale alone",
            fix="choose another quantizer of weights for the layer, more bits, or pruned = false",
        )
    if any(not str(factor.target).startswith(MASKS) for factor in factors) and not how.keeps_size(chosen):
        raise UserError(
            "the simulated fold of a batch norm is undone",
            where=where,
            why=f"'{chosen.weights}' brings every weight into [-1, 1], whatever it was multiplied by",
            fix='say weight_range = "max", or leave simulate_fold out: the norm is folded after training in any case',
        )


def _span(how: Quantizer) -> str:
    return f"{how.least} bits" if how.least == how.most else f"{how.least} to {how.most} bits"


def _factors(weight: fx.Node) -> Iterator[fx.Node]:
    """What a weight is multiplied by before its grid: masks and factors of norms."""
    while weight.target is aten.mul.Tensor or is_transform(weight):
        weight, *factors = (operand for operand in arguments(weight).values() if isinstance(operand, fx.Node))
        yield from factors
