"""Fold inference batch norms into the layers beside them; one that stands alone becomes a multiply-add.

    bn(w x + b) = g (w x + b - mu) / sqrt(var + eps) + beta = (k w) x + k (b - mu) + beta,   k = g / sqrt(var + eps)
    w bn(x) + b = (w k) x + w (beta - k mu) + b

(Jacob et al. 2018, section 3.2.) The layer may be any convolution, transposed too, or linear; between it and the norm
values may be moved (reshape, transpose, shuffle, split) and joined: each part of a `cat` takes its own channels in. A
norm before a layer goes into it where every output sees all of the kernel: a border of zeros is not shifted with the
rest. Behind a layer that others read too, and behind anything else, it becomes k x + (beta - k mu) for each channel,
which costs no second copy of the layer and lowers to integers.

A weight that is already integers keeps them: k scales the grid of its channel, and a negative k turns their signs.
Where training simulated the fold (`simulate_fold`), k is on the grid already, and neither changes.
"""

from __future__ import annotations

import torch
from torch import Tensor, fx

from ..compiler.contract import Close, Pass
from ..compiler.edit import Edit
from ..compiler.facts import inference, no_batch_norm, weights_frozen
from ..compiler.graph import arguments, layer
from ..compiler.layers import along_inputs, along_outputs, channels, output_axis
from ..compiler.norms.folding import Affine, Change, planned
from ..compiler.norms.takers import first
from ..compiler.pattern import Anything, Pattern, Planned, Weight, aten, either, own
from ..compiler.rule import Match, rule

_aten = torch.ops.aten


def _layer(weight: Pattern) -> Pattern:
    plain = (aten.conv1d, aten.conv2d, aten.conv3d)
    transposed = (aten.conv_transpose1d, aten.conv_transpose2d, aten.conv_transpose3d)
    return either(*(made(weight=weight) for made in (*plain, *transposed, aten.linear)))


on_grid = _layer(own.dequantize("grid", codes=Weight("codes"), scale=Weight("scale"), zero=0))
in_float = _layer(Anything("w"))
norm = aten.batch_norm(training=False, running_mean=Anything(), input=Anything("x"))
join = either(aten.cat(), aten.concat(), aten.concatenate())


def _takes_in(match: Match) -> str:
    return "" if match.root.name in match.plan.layers else "no batch norm is left for it to take in"


def _has_layer(match: Match) -> str:
    return "" if match.root.name in match.plan.gone else str(match.plan.reasons[match.root.name])


def _has_part(match: Match) -> str:
    return "" if match.root.name in match.plan.joins else "no batch norm is cut for its operands"


@rule(on_grid, _takes_in)
def fold_codes(match: Match, edit: Edit) -> fx.Node:
    change: Change = match.plan.layers[match.root.name]
    codes, scale, name = match.tensor("codes"), match.tensor("scale"), _inside(layer(match.node("codes")))
    grid, factor = match.node("grid"), _of_some(match, codes, change.factor)
    if factor is not None and bool((factor != 1).any()):
        signs = along_outputs(match.root, torch.where(factor < 0, -1, 1).to(codes.dtype))
        turned = edit.buffer(f"{name}folded_codes", codes * signs)
        scales = edit.buffer(f"{name}folded_scale", (scale * factor.abs()).to(scale.dtype))
        grid = edit.like(grid, codes=turned, scale=scales, axis=output_axis(match.root))
    return edit.like(match.root, weight=grid, bias=edit.buffer(f"{name}folded_bias", _bias(match, change)))


@rule(in_float, _takes_in)
def fold_float(match: Match, edit: Edit) -> fx.Node:
    change: Change = match.plan.layers[match.root.name]
    w, name = match.graph.evaluate(match.node("w")), _inside(layer(match.node("w")))
    scaled = w if change.factor is None else w * along_outputs(match.root, change.factor)
    if change.before is not None:
        scaled = scaled * along_inputs(match.root, change.before.k)
    weight = edit.parameter(f"{name}folded_weight", scaled.to(w.dtype))
    return edit.like(match.root, weight=weight, bias=edit.parameter(f"{name}folded_bias", _bias(match, change)))


def _of_some(match: Match, codes: Tensor, factor: Tensor | None) -> Tensor | None:
    """The factors, and 1 where a channel has no weight but zeros: those of a masked one may differ, and need not."""
    axis = output_axis(match.root)
    if factor is None or axis is None:
        return factor
    return torch.where(codes.movedim(axis, 0).flatten(1).any(1), factor, 1)


def _bias(match: Match, change: Change) -> Tensor:
    """k ((b + w t) / divisor + offset - mu) + beta, (channels,), for inputs that are shifted by t."""
    given = arguments(match.root)
    dtype = match.root.meta["val"].dtype
    b = torch.zeros(channels(match.root), dtype=dtype)
    if given["bias"] is not None:
        b = match.graph.evaluate(given["bias"])
    if change.before is not None and bool(change.before.offset.any()):
        shifted = match.graph.evaluate(given["weight"]) * along_inputs(match.root, change.before.offset)
        b = b + shifted.flatten(1).sum(1)
    b = b if change.divisor is None else b / change.divisor
    b = b if change.offset is None else b + change.offset
    if change.after is not None:
        b = change.after.k * (b - change.after.mean) + change.after.shift
    return b.to(dtype)


@rule(norm, _has_layer)
def fold(match: Match, edit: Edit) -> fx.Node:
    """The layer gives what the norm gave."""
    return match.node("x")


@rule(Planned())
def undo(match: Match, edit: Edit) -> fx.Node:
    """The layer gives what a division by a constant, or the sum with one, between it and its norm gave."""
    return first(match.root)


@rule(norm)
def multiply_add(match: Match, edit: Edit) -> fx.Node:
    """x -> x k + (beta - k mu); rules are tried in order, so a norm with a layer does not come here."""
    affine: Affine = match.plan.adds[match.root.name]
    behind = [1] * (match.root.meta["val"].dim() - 2)
    parts = (part.reshape(-1, *behind) for part in (affine.k, affine.offset))
    return _multiply_add(edit, match.node("x"), _inside(layer(match.root)), *parts)


@rule(join, _has_part)
def multiply_add_part(match: Match, edit: Edit) -> fx.Node:
    """cat([x, ...]) -> cat([x k + t, ...]) for the operands that no layer feeds alone."""
    tensors, name = list(arguments(match.root)["tensors"]), _inside(layer(match.root))
    for position, affine in match.plan.joins[match.root.name].items():
        tensors[position] = _multiply_add(edit, tensors[position], name, affine.k, affine.offset)
    return edit.like(match.root, tensors=tensors)


def _inside(path: str) -> str:
    """The beginning of the names of what a module holds."""
    return f"{path}." if path else ""


def _multiply_add(edit: Edit, x: fx.Node, name: str, k: Tensor, t: Tensor) -> fx.Node:
    """x k + t in one call. k, t: broadcast to x."""
    like = x.meta["val"].dtype
    factor, offset = edit.parameter(f"{name}factor", k.to(like)), edit.parameter(f"{name}offset", t.to(like))
    return edit.call(_aten.addcmul.default, offset, x, factor)


PASS = Pass(
    rules=(fold_codes, fold_float, fold, multiply_add, multiply_add_part, undo),
    law=Close(1e-9),
    plan=lambda graph, options: planned(graph),
    costs="a weight that several layers share, before batch norms of their own, becomes one for each",
    needs=(inference, weights_frozen),
    leaves=(no_batch_norm,),
    fires=(
        "conv(3) bn | eval | fold_batch_norm",
        "conv(4,nobias) bn(noaffine) relu | eval | fold_batch_norm",
        "linear(5) bn | eval | fold_batch_norm",
        "conv(3) bn conv(3) bn tied | eval | fold_batch_norm",
        "conv(4) bn | insert_fake_quant | eval | freeze | fold_batch_norm",
        "conv(4) bn | insert_fake_quant(per_channel=true) | eval | freeze | fold_batch_norm",
        "bn relu [ tconv(4) ] cat bn linear(3) | insert_fake_quant | eval | freeze | fold_batch_norm",
        "conv(4) [ conv(4) bn(noaffine) bn ] cat shuffle(2) bn | eval | fold_batch_norm",
        "bn(huge) conv(4,k=1) swap halves bn bn(eps=0.1) [ id ] + | eval | fold_batch_norm",
        "conv(3) bn | schedule_pruning | eval | fold_batch_norm",
        "conv(3) bn linear(2) bn | simulate_fold | eval | fold_batch_norm",
        "conv(4) bn | simulate_fold | insert_fake_quant(weight_bits=4) | eval | freeze | fold_batch_norm",
        "conv(4,dead=1) bn conv(2) | prune_units | simulate_fold | insert_fake_quant | eval | freeze | fold_batch_norm",
        "conv(4) bn relu | simulate_fold(freeze_statistics=0.5) | insert_fake_quant | eval | freeze | fold_batch_norm",
    ),
    refuses={
        "conv(3) [ bn ] + | eval | fold_batch_norm": "the convolution or linear has 2 readers",
        "rows mix(3) bn | eval | fold_batch_norm": (
            "it does not normalize the output channels of the convolution or linear"
        ),
        "conv(3) bn(nostats) | eval | fold_batch_norm": "training is True",
        "input(4,8,8) tconv(4,groups=2) bn | insert_fake_quant | eval | freeze | fold_batch_norm": (
            "the grid of its weight has no scale for each output channel"
        ),
        "[ relu ] cat bn | eval | fold_batch_norm": "no convolution or linear feeds it",
        "[ conv(3) ] cat | eval | fold_batch_norm": "no batch norm is cut for its operands",
    },
)
