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
from typing import Any, Literal

import torch
from torch import Tensor, fx

from ..compiler.attachment import Attached, grids, on, summed, unless_attached
from ..compiler.coefficient import NotNegative, penalize
from ..compiler.contract import Exact, OptionsFor, Pass
from ..compiler.edit import Edit
from ..compiler.facts import weights_on_grid
from ..compiler.graph import Graph
from ..compiler.grid import along, reduce_to
from ..compiler.pattern import Whole
from ..compiler.rule import Match, rule
from ..compiler.schedule import Shape

_aten, _own = torch.ops.aten, torch.ops.lowbit

NAME = "sinreq"


class Settings(Attached, frozen=True):
    """The defaults are those of the authors."""

    coefficient: Literal["fixed", "scheduled", "learnable"] = "scheduled"
    schedule: Shape = "exponential"
    initial: NotNegative = math.exp(-4)


@torch.library.custom_op("lowbit::sine", mutates_args=())
def sine(x: Tensor, scale: Tensor, axis: int, odd: bool = False) -> Tensor:
    """The mean over x of sin^2(pi x / scale), a scalar; on an odd grid of cos^2(pi x / (2 scale)).

    x: any shape; scale: (1,) or (x.shape[axis],), positive. The gradients in both are closed forms.
    """
    return _phase(x, scale, axis, odd).mul_(math.pi).sin_().square_().mean()


@sine.register_fake
def _(x: Tensor, scale: Tensor, axis: int, odd: bool = False) -> Tensor:
    return x.new_empty(())


def _phase(x: Tensor, scale: Tensor, axis: int, odd: bool) -> Tensor:
    """How far x lies from the nearest level, in periods of the sine: exact for small distances from far levels."""
    periods = x / along(scale, x.dim(), axis)
    periods = periods.mul_(0.5).add_(0.5) if odd else periods
    return periods.sub_(periods.round())


def _setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, scale, ctx.axis, ctx.odd = inputs
    ctx.save_for_backward(x, scale)


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    """d/d scale = -(x / scale) d/dx, summed over what has the scale."""
    x, scale = ctx.saved_tensors
    steps = along(scale, x.dim(), ctx.axis)
    slope = _phase(x, scale, ctx.axis, ctx.odd).mul_(2 * math.pi).sin_()
    by_x = slope.mul_(grad * (math.pi / x.numel() / (2 if ctx.odd else 1))).div_(steps)
    by_scale = reduce_to(by_x * x, scale, ctx.axis) / -scale if ctx.needs_input_grad[1] else None
    return by_x if ctx.needs_input_grad[0] else None, by_scale, None, None


sine.register_autograd(_backward, setup_context=_setup)


def plan(graph: Graph, options: OptionsFor) -> list[str]:
    """Names of the grids attached to."""
    found = grids(graph, lambda path: options(path).attached)
    return [grid.name for grid, weight in found.items() if weight is not None]


def _no_weight(match: Match) -> str:
    return "" if match.plan else "no weight is on a grid"


@rule(Whole(), _no_weight, unless_attached(NAME))
def attach(match: Match, edit: Edit) -> fx.Node:
    terms = []
    for grid in [node for node in match.graph.nodes if node.name in match.plan]:
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
        "conv(3) linear(4) | schedule_pruning | insert_fake_quant | attach_sinreq(coefficient='learnable')",
        "conv(3) | insert_fake_quant(weight_bits=2) | attach_sinreq(schedule='tanh', initial=0, end=0.5)",
    ),
    refuses={
        "relu | insert_fake_quant | attach_sinreq": "no weight is on a grid",
        "conv(3) | insert_fake_quant | attach_sinreq(attached=false)": "no weight is on a grid",
        "conv(3) | insert_fake_quant | attach_sinreq | attach_sinreq": "the penalty is attached already",
    },
)
