"""Turn trained grids into constants: weights become integer codes, every scale a constant.

fake_quantize(w, scale) = dequantize(codes, scale),   codes = clamp(floor(w / scale + 1/2), lo, hi)

The codes of masked weights are zero. What else is masked, such as the biases of units that are pruned, becomes the
constant that it is.
"""

from __future__ import annotations

import torch
from torch import Tensor, fx

from ..compiler.contract import Exact, Pass
from ..compiler.edit import Edit
from ..compiler.errors import Broken, UserError
from ..compiler.facts import inference, weights_frozen, weights_on_grid
from ..compiler.graph import arguments, origin
from ..compiler.grid import quantize
from ..compiler.layers import is_layer, weight_name, weight_of
from ..compiler.masks.placement import mask_of, masks_behind
from ..compiler.pattern import Anything, aten, either, own
from ..compiler.rule import Match, rule

_own = torch.ops.lowbit

grid = own.fake_quantize(x=Anything("x"), scale=Anything("scale"))


def _is_weight(match: Match) -> str:
    if weight_of(match.node("x")) is not None:
        return ""
    computed = _multiplying(match.root) is not None and match.root in match.graph.constants()
    return "" if computed else "it is an activation"


def _multiplying(node: fx.Node) -> fx.Node | None:
    """The first layer that multiplies by the node."""
    readers = (reader for reader in node.users if is_layer(reader))
    return next((reader for reader in readers if arguments(reader)["weight"] is node), None)


def _trained(match: Match) -> str:
    return "the scale is a constant already" if match.node("scale").op == "get_attr" else ""


@rule(grid, _is_weight)
def freeze_weight(match: Match, edit: Edit) -> fx.Node:
    name = weight_name(match.node("x"), _multiplying(match.root) or match.root)
    w, scale = match.graph.evaluate(match.node("x")), match.graph.evaluate(match.node("scale"))
    zero, lo, hi, axis, odd = (match.argument(grid, key) for key in ("zero", "lo", "hi", "axis", "odd"))
    codes = quantize(w, scale, zero, lo, hi, axis, odd).to(torch.int32)
    _check_zeros(match, codes, zero)
    constant = edit.buffer(f"{name}_codes", codes), edit.buffer(f"{name}_scale", scale)
    return edit.call(_own.dequantize.default, *constant, zero, axis)


def _check_zeros(match: Match, codes: Tensor, zero: int) -> None:
    """Raises UserError for a mask on a grid that has no zero, Broken for a masked weight that is not zero."""
    masks = masks_behind(match.node("x"))
    place = str(origin(match.root))
    if masks and match.argument(grid, "odd"):
        why = "a mask sets weights to zero, and the grid of this layer has none"
        fix = "choose a quantizer with a zero, or leave the layer out of the pruning pass (pruned = false)"
        raise UserError("a pruned weight is on a grid without a zero", where=place, why=why, fix=fix)
    for mask in masks:
        gone = (match.graph.tensor(mask) == 0).expand(codes.shape)
        if bool((codes[gone] != zero).any()):
            raise Broken("a masked weight is not zero in integers", where=place)


masked = either(aten.mul.Tensor(self=Anything(), other=Anything("mask")), own.masked(mask=Anything("mask")))


def _is_mask(match: Match) -> str:
    masked = mask_of(match.root) is not None and weight_of(match.root) is not None
    return "" if masked else "it is no parameter times a mask"


def _stands_alone(match: Match) -> str:
    weight = any(weight_of(reader) is not None for reader in match.root.users)
    return "it is a weight" if weight or _multiplying(match.root) is not None else ""


@rule(masked, _is_mask, _stands_alone)
def freeze_masked(match: Match, edit: Edit) -> fx.Node:
    """p * mask -> a constant."""
    parameter = weight_of(match.root)
    return edit.buffer(f"{parameter.target}_masked", match.graph.evaluate(match.root))  # type: ignore[union-attr]


@rule(grid, _trained)
def freeze_scale(match: Match, edit: Edit) -> fx.Node:
    """Rules are tried in order, so a weight does not come here."""
    scale = match.graph.evaluate(match.node("scale"))
    return edit.like(match.root, scale=edit.buffer(f"lowbit.frozen.{match.node('x').name}", scale))


PASS = Pass(
    rules=(freeze_weight, freeze_scale, freeze_masked),
    law=Exact(),
    needs=(inference, weights_on_grid),
    leaves=(weights_frozen,),
    fires=(
        "conv(3) bn | insert_fake_quant | eval | freeze",
        "conv(3) relu linear(4) | schedule_pruning | insert_fake_quant(per_channel=true) | eval | freeze",
        "conv(4) relu conv(3) | prune_units | insert_fake_quant | eval | freeze",
    ),
    refuses={
        "conv(3) | insert_fake_quant | eval | freeze": "it is an activation",
        "conv(3) relu linear(4) | schedule_pruning | insert_fake_quant | eval | freeze": "it is a weight",
        "conv(3) [ conv(3) ] * | insert_fake_quant | eval | freeze": "it is no parameter times a mask",
        "conv(3) | insert_fake_quant | eval | freeze | freeze": "the scale is a constant already",
    },
)
