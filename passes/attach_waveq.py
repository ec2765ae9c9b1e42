"""Pull weights to the levels of grids whose widths are trained, and the widths down: sine waves with a trained period.

    R = sum_layers mean_w sin^2(pi w (2^(beta-1) - 1) / max|w|) / 2^beta,      B = sum_layers beta
    loss = task + lambda_w(t) R + lambda_beta(t) B

(WaveQ: Elthakeb et al., arXiv 2003.00146, the variant R1.) beta counts the sign, so that at a whole beta the zeros of
the sine are the levels of the quantizer `waveq`, with which it goes; the authors' figure has 2^beta - 1. The mean over
a layer stands where the figure has a sum, so that lambda_w means the same for layers of all sizes. There are three
phases, as in the authors' code: neither term; both from a fifth of the training on; R alone from its half, where
`freeze_bits` of `insert_fake_quant` should lie. Both coefficients move along an S, see `compiler/schedule.py`.
"""

from __future__ import annotations

import torch
from torch import fx

from ..compiler import waves  # noqa: F401  registers the operator
from ..compiler.attachment import Attached, grids, on, planned, summed, unless_attached, where_planned
from ..compiler.coefficient import COEFFICIENTS, Kind, NotNegative, penalize
from ..compiler.contract import Exact, OptionsFor, Pass
from ..compiler.edit import Edit
from ..compiler.facts import weights_on_grid
from ..compiler.graph import Graph, arguments
from ..compiler.pattern import Whole
from ..compiler.rule import Match, rule
from ..compiler.schedule import Shape, Share, scheduled

_aten, _own = torch.ops.aten, torch.ops.lowbit

NAME, BITS = "waveq", "waveq_bits"


class Settings(Attached, frozen=True):
    """The coefficient is lambda_w.   bits: the largest lambda_beta, which rises as lambda_w does by default, between
    `begin` and `end`.   fall_begin, fall_end: the shares of the training between which it falls to zero."""

    coefficient: Kind = "scheduled"
    schedule: Shape = "tanh"
    initial: NotNegative = 0.0
    begin: Share = 0.17
    end: Share = 0.23
    bits: NotNegative = 0.03
    fall_begin: Share = 0.47
    fall_end: Share = 0.53

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.end <= self.fall_begin <= self.fall_end:
            falls = f"lambda_beta falls from {self.fall_begin:g} to {self.fall_end:g}"
            raise ValueError(f"{falls}, and rises until {self.end:g}: it falls after it has risen")


def plan(graph: Graph, options: OptionsFor) -> list[str]:
    """Names of the grids whose width is trained."""
    found = grids(graph, lambda path: options(path).attached)
    return [grid.name for grid in found if arguments(grid)["scale"].target is _own.width_scale.default]


@rule(
    Whole(),
    where_planned("no grid has a width that is trained, as the quantizer waveq makes them"),
    unless_attached(NAME),
)
def attach(match: Match, edit: Edit) -> fx.Node:
    sines, widths = [], []
    for grid in planned(match):
        given, width = on(grid), arguments(arguments(grid)["scale"])
        scale = edit.call(_aten.detach.default, given["scale"])
        read = scale, width["bits"], given["axis"], width["most"]
        sines.append(edit.call(_own.width_wave.default, given["x"], *read))
        widths.append(edit.call(_aten.sum.default, width["bits"]))
    penalize(match, edit, NAME, summed(edit, sines))
    _narrow(match, edit, summed(edit, widths))
    return match.root


def _narrow(match: Match, edit: Edit, total: fx.Node) -> None:
    """lambda_beta rises, stays and falls."""
    options: Settings = match.options
    spans = (options.begin, options.end, 0.0, options.bits), (options.fall_begin, options.fall_end, 0.0, -options.bits)
    steps = [(match.step_at(begin, BITS), match.step_at(end, BITS), first, last) for begin, end, first, last in spans]
    name, dtype = f"{COEFFICIENTS}{BITS}", total.meta["val"].dtype
    factor = scheduled(edit, name, dtype, *(("tanh", *span) for span in steps))
    edit.penalty(BITS, edit.call(_aten.mul.Tensor, total, factor), total, factor)


PASS = Pass(
    rules=(attach,),
    law=Exact(),
    options=Settings,
    plan=plan,
    needs=(weights_on_grid,),
    fires=(
        "conv(3) bn relu linear(4) | insert_fake_quant(weights='waveq', weight_bits=4) | attach_waveq(begin=0)",
        "conv(3) linear(2) | insert_fake_quant(weights='waveq', weight_bits=5, per_channel=true, freeze_bits=0.5)"
        " | attach_waveq(coefficient='fixed', initial=1)",
        "conv(3) linear(4) | insert_fake_quant(weights='waveq', weight_bits=3)"
        " | attach_waveq(coefficient='learnable', initial=1)",
    ),
    refuses={
        "conv(3) | insert_fake_quant | attach_waveq": (
            "no grid has a width that is trained, as the quantizer waveq makes them"
        ),
        "conv(3) | insert_fake_quant(weights='waveq') | attach_waveq | attach_waveq": "the penalty is attached already",
    },
)
