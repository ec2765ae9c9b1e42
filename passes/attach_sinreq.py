"""Pull weights to the levels of their grids with a sine, whose zeros are the levels.

    R = sum_layers mean_w sin^2(pi w / d),          dR/dw = (pi / (N d)) sin(2 pi w / d)      a grid with a zero
    R = sum_layers mean_w cos^2(pi w / (2 d)),      dR/dw = -(pi / (2 N d)) sin(pi w / d)     an odd grid

(Elthakeb et al., SinReQ, arXiv 1905.01416.) w is what arrives at the grid, so that the zeros are the levels whatever
the quantizer makes of a weight before it rounds; the authors' code takes the weight itself, whose zeros under DoReFa's
tanh lie elsewhere. The scale d is a constant of the step. Beyond the ends of a grid the sine goes on, as theirs does.
The coefficient rises by even factors, e^-4 to 1, as in their code, unless told otherwise: `compiler/coefficient.py`.
"""

from __future__ import annotations

import math

import torch
from torch import fx

from ..compiler import waves  # noqa: F401  registers the operator
from ..compiler.attachment import Attached, grids, on, planned, summed, unless_attached, where_planned
from ..compiler.coefficient import Kind, NotNegative, penalize
from ..compiler.contract import Exact, OptionsFor, Pass
from ..compiler.edit import Edit
from ..compiler.facts import weights_on_grid
from ..compiler.graph import Graph
from ..compiler.pattern import Whole
from ..compiler.rule import Match, rule
from ..compiler.schedule import Shape

_aten, _own = torch.ops.aten, torch.ops.lowbit

NAME = "sinreq"


class Settings(Attached, frozen=True):
    """The defaults are those of the authors."""

    coefficient: Kind = "scheduled"
    schedule: Shape = "exponential"
    initial: NotNegative = math.exp(-4)


def plan(graph: Graph, options: OptionsFor) -> list[str]:
    """Names of the grids attached to."""
    found = grids(graph, lambda path: options(path).attached)
    return [grid.name for grid, weight in found.items() if weight is not None]


@rule(Whole(), where_planned("no weight is on a grid"), unless_attached(NAME))
def attach(match: Match, edit: Edit) -> fx.Node:
    terms = []
    for grid in planned(match):
        given = {name: value for name, value in on(grid).items() if name in ("x", "scale", "axis", "odd")}
        given["scale"] = edit.call(_aten.detach.default, given["scale"])
        terms.append(edit.call(_own.sine.default, **given))
    penalize(match, edit, NAME, summed(edit, terms))
    return match.root


PASS = Pass(
    rules=(attach,),
    law=Exact(),
    options=Settings,
    plan=plan,
    needs=(weights_on_grid,),
    fires=(
        "conv(3) bn relu linear(4) | insert_fake_quant(weight_bits=3) | attach_sinreq",
        "conv(3) linear(2) | insert_fake_quant(per_channel=true, weight_bits=4) | attach_sinreq(coefficient='fixed')",
        "conv(3) linear(4) | schedule_pruning | insert_fake_quant(weight_bits=5)"
        " | attach_sinreq(coefficient='learnable')",
        "conv(3) | insert_fake_quant(weight_bits=2) | attach_sinreq(schedule='tanh', initial=0, end=0.5)",
    ),
    refuses={
        "relu | insert_fake_quant | attach_sinreq": "no weight is on a grid",
        "conv(3) | insert_fake_quant | attach_sinreq(attached=false)": "no weight is on a grid",
        "conv(3) | insert_fake_quant | attach_sinreq | attach_sinreq": "the penalty is attached already",
    },
)
