"""Turn trained grids into constants: weights become integer codes, every scale a constant.

fake_quantize(w, scale) = dequantize(codes, scale),   codes = clamp(floor(w / scale + 1/2), lo, hi)
"""

from __future__ import annotations

import torch
from torch import fx

from ..compiler.contract import Exact, Pass
from ..compiler.edit import Edit
from ..compiler.facts import inference, weights_frozen, weights_on_grid
from ..compiler.grid import quantize
from ..compiler.layers import weight_of
from ..compiler.pattern import Anything, own
from ..compiler.rule import Match, rule

_own = torch.ops.lowbit

grid = own.fake_quantize(x=Anything("x"), scale=Anything("scale"))


def _is_weight(match: Match) -> str:
    return "" if weight_of(match.node("x")) is not None else "it is an activation"


def _trained(match: Match) -> str:
    return "the scale is a constant already" if match.node("scale").op == "get_attr" else ""


@rule(grid, _is_weight)
def freeze_weight(match: Match, edit: Edit) -> fx.Node:
    name = str(weight_of(match.node("x")).target)  # type: ignore[union-attr]
    w, scale = match.graph.evaluate(match.node("x")), match.graph.evaluate(match.node("scale"))
    zero, lo, hi, axis, odd = (match.argument(grid, key) for key in ("zero", "lo", "hi", "axis", "odd"))
    codes = quantize(w, scale, zero, lo, hi, axis, odd).to(torch.int32)
    constant = edit.buffer(f"{name}_codes", codes), edit.buffer(f"{name}_scale", scale)
    return edit.call(_own.dequantize.default, *constant, zero, axis)


@rule(grid, _trained)
def freeze_scale(match: Match, edit: Edit) -> fx.Node:
    """Rules are tried in order, so a weight does not come here."""
    scale = match.graph.evaluate(match.node("scale"))
    return edit.like(match.root, scale=edit.buffer(f"lowbit.frozen.{match.node('x').name}", scale))


PASS = Pass(
    rules=(freeze_weight, freeze_scale),
    law=Exact(),
    needs=(inference, weights_on_grid),
    leaves=(weights_frozen,),
    fires=(
        "conv(3) bn | insert_fake_quant | eval | freeze",
        "conv(3) relu linear(4) | schedule_pruning | insert_fake_quant(per_channel=true) | eval | freeze",
    ),
    refuses={
        "conv(3) | insert_fake_quant | eval | freeze": "it is an activation",
        "conv(3) | insert_fake_quant | eval | freeze | freeze": "the scale is a constant already",
    },
)
