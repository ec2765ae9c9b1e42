"""Keep the ranges of activation grids small: the square of the largest value that each can hold.

    R = sum_edges a^2,   a = d (hi - zero),   dR/da = 2 a

(Choi et al., PACT, arXiv 1805.06085, section 4: L2 on the clipping level, without which it stays where it began.) Edges
that share a scale count once. Weighted by a coefficient, see `compiler/coefficient.py`; PACT takes that of its weight
decay, which `parameter_groups` keeps away from scales.
"""

from __future__ import annotations

import torch
from torch import fx

from ..compiler.attachment import Attached, grids, on, planned, summed, trained_scales, unless_attached, where_planned
from ..compiler.coefficient import Kind, NotNegative, penalize
from ..compiler.contract import Exact, OptionsFor, Pass
from ..compiler.edit import Edit
from ..compiler.graph import Graph
from ..compiler.pattern import Whole
from ..compiler.rule import Match, rule

_aten = torch.ops.aten

NAME = "range_l2"


class Settings(Attached, frozen=True):
    """The coefficient stays as it is by default: a learnable one would shrink ranges without end."""

    coefficient: Kind = "fixed"
    initial: NotNegative = 1e-4


def plan(graph: Graph, options: OptionsFor) -> list[str]:
    """Names of activation grids, one for each scale that is trained and chosen."""
    found = {grid: weight for grid, weight in grids(graph, lambda path: options(path).attached).items() if not weight}
    return [grid.name for grid in trained_scales(found).values()]


@rule(Whole(), where_planned("no range of an activation is trained"), unless_attached(NAME))
def attach(match: Match, edit: Edit) -> fx.Node:
    terms = []
    for grid in [on(node) for node in planned(match)]:
        reach = edit.call(_aten.mul.Tensor, grid["scale"], grid["hi"] - grid["zero"])
        terms.append(edit.call(_aten.sum.default, edit.call(_aten.square.default, reach)))
    penalize(match, edit, NAME, summed(edit, terms))
    return match.root


PASS = Pass(
    rules=(attach,),
    law=Exact(),
    options=Settings,
    plan=plan,
    fires=(
        "conv(3) relu linear(4) | insert_fake_quant | attach_range_l2",
        "conv(3) relu [ conv(3) ] + | insert_fake_quant(share_add=true) | attach_range_l2(coefficient='scheduled')",
    ),
    refuses={
        "conv(3) | attach_range_l2": "no range of an activation is trained",
        "conv(3) | insert_fake_quant | attach_range_l2(attached=false)": "no range of an activation is trained",
        "conv(3) | insert_fake_quant | attach_range_l2 | attach_range_l2": "the penalty is attached already",
    },
)
