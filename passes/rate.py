"""Choose, between the two integers next to a weight, the one that is cheaper to write, where it lies nearly as close.

    q = argmin (w / s - q)^2 + price bits(q),   q one of floor(w / s), ceil(w / s) with |w / s - q| <= reach

and w becomes s q. bits is what the integer costs among those around it, estimated (`compiler/rates.py`) and estimated
anew from what was chosen, ROUNDS times. With price 0 it is the nearest. It stands before `freeze`, and changes what is
computed: the price is what a bit is worth in squared steps of a layer's grid. With `sensitive` that is the price of a
layer felt as the average, and others' is divided by how much the outputs feel a step (`compiler/sensitivity.py`).
(Rate-distortion optimised quantization, as in video coders; of networks: Wiedemann et al. 2019, arXiv 1907.11900.)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import torch
from msgspec import Meta
from torch import Tensor, fx

from ..compiler.contract import Options, OptionsFor, Pass, WithinSteps
from ..compiler.edit import Edit
from ..compiler.facts import inference, weights_on_grid
from ..compiler.graph import Graph, arguments, layer
from ..compiler.grid import along
from ..compiler.layers import is_layer
from ..compiler.operators import own
from ..compiler.pattern import Planned
from ..compiler.rates import rates
from ..compiler.rule import Match, rule
from ..compiler.sensitivity import felt

ROUNDS = 3


class Settings(Options, frozen=True):
    """price: of a bit, in squared steps.   reach: how far from a weight its integer may lie, in steps; 0.5 rounds.

    sensitive: the price is lower for layers whose steps the outputs feel more.
    """

    price: Annotated[float, Meta(ge=0, le=1)] = 0.02
    reach: Annotated[float, Meta(ge=0.5, lt=1)] = 0.75
    sensitive: bool = False


@dataclass(frozen=True)
class Chosen:
    """What a grid rounds from now on, in the shape of the weight, or the reason why nothing changes."""

    weight: Tensor | None = None
    reason: str = ""


def plan(graph: Graph, options: OptionsFor) -> Mapping[str, Chosen]:
    """What a grid of weights rounds -> what it is to round."""
    constants, grids = graph.constants(), dict[fx.Node, Settings]()
    for node in graph.nodes:
        grid = arguments(node)["weight"] if is_layer(node) else None
        if grid in constants and grid.target is own.fake_quantize.default:
            grids[grid] = options(layer(node))
    shares = felt(graph, grids) if any(settings.sensitive for settings in grids.values()) else {}
    return {
        arguments(grid)["x"].name: _chosen(graph, grid, settings, shares[grid] if settings.sensitive else 1.0)
        for grid, settings in grids.items()
    }


def _chosen(graph: Graph, grid: fx.Node, settings: Settings, share: float) -> Chosen:
    given = arguments(grid)
    if given["odd"]:
        return Chosen(reason="its integers are two apart")
    if any(reader is not grid for reader in given["x"].users):
        return Chosen(reason="something else reads it too")
    w = graph.evaluate(given["x"])
    scale = along(graph.evaluate(given["scale"]), w.dim(), given["axis"])
    lo, hi = given["lo"] - given["zero"], given["hi"] - given["zero"]
    codes = choose((w / scale).double(), lo, hi, settings.price / share, settings.reach)
    inside = (w >= lo * scale) & (w <= hi * scale)  # what is clipped stays where it is
    moved = torch.where(inside, codes.to(w.dtype) * scale, w)
    return Chosen(reason="each weight is on its integer already") if torch.equal(moved, w) else Chosen(moved)


def choose(steps: Tensor, lo: int, hi: int, price: float, reach: float) -> Tensor:
    """The integer of each weight.   steps: weights over their scale, float64; lo, hi: the ends of the integers."""
    nearest = (steps + 0.5).floor()
    other = torch.where(steps > nearest, nearest + 1, nearest - 1)
    allowed = ((steps - other).abs() <= reach) & (other >= lo) & (other <= hi)
    nearest, codes = nearest.clamp(lo, hi), nearest.clamp(lo, hi)
    for _ in range(ROUNDS if price else 0):
        known = rates(codes)
        worth = (steps - nearest) ** 2 + price * known.of(nearest) - (steps - other) ** 2 - price * known.of(other)
        codes = torch.where(allowed & (worth > 0), other, nearest)
    return codes


def _changes(match: Match) -> str:
    return str(match.plan[match.root.name].reason)


@rule(Planned(), _changes)
def cheaper(match: Match, edit: Edit) -> fx.Node:
    """w -> s q, which the grid behind it leaves as it is."""
    return edit.parameter(f"lowbit.rate.{match.root.name}", match.plan[match.root.name].weight)


PASS = Pass(
    rules=(cheaper,),
    law=WithinSteps(lambda options: options.reach),
    options=Settings,
    plan=plan,
    needs=(inference, weights_on_grid),
    fires=(
        "conv(3) bn relu linear(4) | insert_fake_quant | eval | rate",
        "conv(4) relu conv(3) | insert_fake_quant(weight_bits=3,per_channel=true) | eval | rate(price=0.2)",
        "conv(4) relu conv(3) relu linear(3) | insert_fake_quant | eval | rate(price=0.2,sensitive=true)",
        "conv(4) relu linear(3) | schedule_pruning | insert_fake_quant(weight_bits=2) | eval | rate(reach=0.9)",
    ),
    refuses={
        "conv(3) | insert_fake_quant(weights='binary', weight_bits=1) | eval | rate": "its integers are two apart",
        "conv(3) | insert_fake_quant | eval | rate | rate": "each weight is on its integer already",
    },
)
